//! The address book: postal addresses of customers, from imports and from orders.

use diesel::prelude::*;
use domain::customer::{Address, Country, Destination, DestinationId, Email};

use crate::database::{Tx, among, bytewise, execute, first, load, update};
use crate::schema::{address, customer};
use crate::stored::storable;

/// The most imported addresses of one customer. An import that exceeds the limit is refused.
pub(crate) const MAX_IMPORTED: usize = 50;
/// The most addresses from orders that are kept for one buyer.
const MAX_LEARNED: usize = 20;
/// The most postal addresses that are read for one email address, imported addresses and addresses from orders
/// together.
pub(crate) const MAX_BOOK: usize = MAX_IMPORTED + MAX_LEARNED;
/// The most customers that are read for one email address. Usually there are at most two: an imported customer, and a
/// customer that was created from an order. Earlier releases imported more.
const MAX_CUSTOMERS: i64 = 10;

#[derive(PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = address, primary_key(customer_id, id))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
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

/// The id of the customer that is created from an order. `key` is the key of the email address.
pub(crate) fn learned_id(key: &str) -> String {
    format!("cust_{key}")
}

/// Returns the stored addresses of the customers with this email address, at most [`MAX_BOOK`]. If there are more, the
/// addresses from orders are selected first. Earlier releases imported addresses without a limit.
pub(crate) fn address_book(tx: &mut Tx<'_>, email: &Email) -> QueryResult<Vec<Destination>> {
    let key = email.key();
    if !storable(&key) {
        return Ok(Vec::new());
    }
    let query = address::table
        .inner_join(customer::table)
        .filter(customer::email.eq(&key))
        .order((
            address::customer_id.eq(learned_id(&key)).desc(),
            bytewise(tx, "customer_id"),
            bytewise(tx, "address.id"),
        ))
        .limit(MAX_BOOK as i64);
    let mut rows: Vec<AddressRow> = load!(tx, query.select(AddressRow::as_select()))?;
    rows.sort_by(|one, other| (&one.customer_id, &one.id).cmp(&(&other.customer_id, &other.id)));
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Keeps the address of an order. If the buyer has an address with the same id, it is replaced. Otherwise the address
/// is added to a customer that is created from orders, so that imported addresses are never displaced. If the customer
/// then has more than [`MAX_LEARNED`] addresses, another address is deleted.
pub(crate) fn remember(tx: &mut Tx<'_>, email: &Email, name: &str, destination: &Destination) -> QueryResult<()> {
    let key = email.key();
    let same_id = address::customer_id.eq(customer::id).and(address::id.eq(&destination.id.0));
    let query =
        customer::table.left_join(address::table.on(same_id)).filter(customer::email.eq(&key)).limit(MAX_CUSTOMERS);
    let known: Vec<(String, Option<AddressRow>)> =
        load!(tx, query.select((customer::id, Option::<AddressRow>::as_select())))?;
    let id = learned_id(&key);
    let is_known = known.iter().any(|(customer, _)| *customer == id);
    let mut stored: Vec<AddressRow> = known.into_iter().filter_map(|(_, address)| address).collect();
    // Every transaction updates these rows in this order, so that no two transactions deadlock.
    stored.sort_unstable_by(|one, other| one.customer_id.cmp(&other.customer_id));
    let mut is_kept = false;
    for known in &stored {
        let row = AddressRow::new(&known.customer_id, &destination.id, &destination.address);
        // An equal row is not written: it would be locked until the order is committed, and orders of one customer
        // would wait for each other.
        if *known == row {
            is_kept = true;
            continue;
        }
        let change = update(address::table.find((&row.customer_id, &row.id))).set(&row);
        // No row is updated if another order deleted this address meanwhile.
        is_kept |= execute!(tx, change)? > 0;
    }
    if is_kept {
        return Ok(());
    }
    let is_new = !is_known && add_customer(tx, &id, name, &key)?;
    if !is_new {
        // An import may have given the id to a customer with another email address.
        if !is_known && owner(tx, &id)?.as_ref() != Some(&key) {
            return Ok(());
        }
        make_room(tx, &id)?;
    }
    let row = AddressRow::new(&id, &destination.id, &destination.address);
    let insert = diesel::insert_into(address::table).values(&row).on_conflict((address::customer_id, address::id));
    execute!(tx, insert.do_nothing()).map(drop)
}

/// Adds a customer without addresses. False if there is a customer with this id.
fn add_customer(tx: &mut Tx<'_>, id: &str, name: &str, email: &str) -> QueryResult<bool> {
    let values = (customer::id.eq(id), customer::name.eq(name), customer::email.eq(email));
    let insert = diesel::insert_into(customer::table).values(values).on_conflict(customer::id).do_nothing();
    Ok(execute!(tx, insert)? == 1)
}

/// The email address of a customer.
fn owner(tx: &mut Tx<'_>, id: &str) -> QueryResult<Option<String>> {
    let query = customer::table.find(id).select(customer::email);
    first!(tx, query)
}

/// Deletes addresses from orders until the customer has room for one more. The addresses with the smallest ids, in byte
/// order, are deleted. The age of an address is not stored.
fn make_room(tx: &mut Tx<'_>, customer: &str) -> QueryResult<()> {
    let of_customer = address::table.filter(address::customer_id.eq(customer));
    let query = of_customer.order(bytewise(tx, "id")).select(address::id).limit(MAX_BOOK as i64);
    let ids: Vec<String> = load!(tx, query)?;
    let too_many = (ids.len() + 1).saturating_sub(MAX_LEARNED);
    if too_many > 0 {
        let delete = diesel::delete(of_customer.filter(among(address::id, &ids[..too_many])));
        execute!(tx, delete)?;
    }
    Ok(())
}
