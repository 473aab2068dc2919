//! The address book.

use diesel::prelude::*;
use domain::customer::{Address, Country, Destination, DestinationId, Email};

use crate::database::{Tx, bytewise, on_backend};
use crate::schema::{address, customer};
use crate::stored::storable;

/// More addresses than anyone chooses from. A book takes no more.
const MAX_ADDRESSES: i64 = 20;

#[derive(PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = address, treat_none_as_null = true, primary_key(customer_id, id))]
pub(crate) struct AddressRow {
    pub customer_id: String,
    pub id: String,
    pub street: Option<String>,
    pub extended: Option<String>,
    pub locality: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone_number: Option<String>,
}

impl AddressRow {
    pub(crate) fn new(customer: &str, id: &DestinationId, address: &Address) -> Self {
        let address = address.clone();
        Self {
            customer_id: customer.to_owned(),
            id: id.0.clone(),
            street: address.street,
            extended: address.extended,
            locality: address.locality,
            region: address.region,
            postal_code: address.postal_code,
            country: address.country.map(Into::into),
            first_name: address.first_name,
            last_name: address.last_name,
            phone_number: address.phone_number,
        }
    }
}

impl From<AddressRow> for Destination {
    fn from(row: AddressRow) -> Self {
        let address = Address {
            street: row.street,
            extended: row.extended,
            locality: row.locality,
            region: row.region,
            postal_code: row.postal_code,
            country: Country::given(row.country),
            first_name: row.first_name,
            last_name: row.last_name,
            phone_number: row.phone_number,
        };
        Self { id: DestinationId(row.id), address }
    }
}

/// The stored addresses of whoever has this e-mail address.
pub(crate) fn address_book(tx: &mut Tx<'_>, email: &Email) -> QueryResult<Vec<Destination>> {
    let key = email.key();
    if !storable(&key) {
        return Ok(Vec::new());
    }
    let query = address::table
        .inner_join(customer::table)
        .filter(customer::email.eq(&key))
        .order((bytewise(tx, "customer_id"), bytewise(tx, "address.id")))
        .limit(MAX_ADDRESSES);
    let rows: Vec<AddressRow> = on_backend!(tx, |conn| query.select(AddressRow::as_select()).load(*conn))?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Writes an address into the book of a customer, and the customer if there is none yet. Under an id that is known the
/// new address takes the place of the old one. A full book takes no further ids.
pub(crate) fn remember(tx: &mut Tx<'_>, email: &Email, name: &str, destination: &Destination) -> QueryResult<()> {
    let key = email.key();
    let query = customer::table.filter(customer::email.eq(&key)).order(bytewise(tx, "id")).select(customer::id);
    let known: Option<String> = on_backend!(tx, |conn| query.first(*conn).optional())?;
    let id = match known {
        Some(id) => id,
        None => {
            // The e-mail address is the identity of a customer that nobody imported.
            let id = format!("cust_{key}");
            let values = (customer::id.eq(&id), customer::name.eq(name), customer::email.eq(&key));
            let insert = diesel::insert_into(customer::table).values(values).on_conflict(customer::id).do_nothing();
            on_backend!(tx, |conn| insert.execute(*conn))?;
            id
        }
    };
    let row = AddressRow::new(&id, &destination.id, &destination.address);
    let stored = address::table.find((&row.customer_id, &row.id));
    let known: Option<AddressRow> =
        on_backend!(tx, |conn| stored.select(AddressRow::as_select()).first(*conn).optional())?;
    match known {
        // Not written again: the row would stay locked until the order is, and the customer's orders wait for each other.
        Some(known) if known == row => return Ok(()),
        Some(_) => {
            on_backend!(tx, |conn| diesel::update(stored).set(&row).execute(*conn))?;
            return Ok(());
        }
        None => {}
    }
    let kept = address::table.filter(address::customer_id.eq(&row.customer_id)).count();
    let kept: i64 = on_backend!(tx, |conn| kept.get_result(*conn))?;
    if kept < MAX_ADDRESSES {
        let insert = diesel::insert_into(address::table).values(&row).on_conflict((address::customer_id, address::id));
        on_backend!(tx, |conn| insert.do_nothing().execute(*conn))?;
    }
    Ok(())
}
