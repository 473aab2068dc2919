//! The tables, as both engines have them. A test runs every query on both engines, and so compares this file with the
//! migrations.

diesel::table! {
    product (id) {
        id -> Text,
        title -> Text,
        image_url -> Nullable<Text>,
    }
}
diesel::table! {
    variant (sku) {
        sku -> Text,
        product_id -> Text,
        title -> Text,
        image_url -> Nullable<Text>,
        price -> BigInt,
        currency -> Text,
        requires_shipping -> Bool,
    }
}
diesel::table! {
    stock (sku) {
        sku -> Text,
        on_hand -> BigInt,
        held -> BigInt,
    }
}
diesel::table! {
    customer (id) {
        id -> Text,
        name -> Text,
        email -> Text,
    }
}
diesel::table! {
    address (customer_id, id) {
        customer_id -> Text,
        id -> Text,
        street -> Nullable<Text>,
        extended -> Nullable<Text>,
        locality -> Nullable<Text>,
        region -> Nullable<Text>,
        postal_code -> Nullable<Text>,
        country -> Nullable<Text>,
        first_name -> Nullable<Text>,
        last_name -> Nullable<Text>,
        phone_number -> Nullable<Text>,
    }
}
diesel::table! {
    shipping_rate (id) {
        id -> Text,
        country -> Nullable<Text>,
        service_level -> Text,
        price -> BigInt,
        currency -> Text,
        title -> Text,
    }
}
diesel::table! {
    discount (code) {
        code -> Text,
        kind -> Text,
        value -> BigInt,
        currency -> Text,
        eligible_skus -> Nullable<Text>,
        description -> Text,
    }
}
diesel::table! {
    free_shipping (id) {
        id -> Text,
        min_subtotal -> Nullable<BigInt>,
        currency -> Text,
        eligible_skus -> Text,
        description -> Text,
    }
}
diesel::table! {
    payment_instrument (id) {
        id -> Text,
        kind -> Text,
        brand -> Text,
        last_digits -> Text,
        token -> Text,
        handler -> Text,
    }
}
diesel::table! {
    checkout (id) {
        id -> Text,
        owner -> Text,
        status -> Text,
        version -> BigInt,
        currency -> Text,
        page -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        expires_at -> BigInt,
        attempt_id -> Nullable<Text>,
        order_id -> Nullable<Text>,
        order_page -> Nullable<Text>,
        details -> Text,
    }
}
diesel::table! {
    use diesel::sql_types::*;
    use crate::database::EngineMillis;

    payment_attempt (id) {
        id -> Text,
        checkout_id -> Text,
        handler -> Text,
        amount -> BigInt,
        currency -> Text,
        state -> Text,
        reference -> Nullable<Text>,
        checks -> Integer,
        claim_key -> Text,
        created_at -> BigInt,
        due_at -> BigInt,
        leased_until -> Nullable<EngineMillis>,
    }
}
diesel::table! {
    use diesel::sql_types::*;
    use crate::database::EngineMillis;

    refund (id) {
        id -> Text,
        attempt_id -> Text,
        amount -> BigInt,
        currency -> Text,
        state -> Text,
        reason -> Nullable<Text>,
        tries -> Integer,
        created_at -> BigInt,
        due_at -> BigInt,
        leased_until -> Nullable<EngineMillis>,
    }
}
diesel::table! {
    gateway_event (id) {
        id -> Text,
        reference -> Nullable<Text>,
        received_at -> BigInt,
    }
}
diesel::table! {
    use diesel::sql_types::*;
    use crate::database::EngineMillis;

    delivery (id) {
        id -> Text,
        channel -> Text,
        destination -> Text,
        order_id -> Text,
        sequence -> Integer,
        event -> Text,
        body -> Text,
        state -> Text,
        occurred_at -> BigInt,
        due_at -> BigInt,
        attempts -> Integer,
        leased_until -> Nullable<EngineMillis>,
        ended_at -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        claims -> Integer,
        caused_by -> Nullable<Text>,
    }
}
diesel::table! {
    destination (id) {
        id -> Text,
        channel -> Text,
        served_at -> BigInt,
        rest_until -> BigInt,
        failures -> Integer,
        failing_since -> Nullable<BigInt>,
        disabled_at -> Nullable<BigInt>,
        failed_at -> Nullable<BigInt>,
        answered_at -> Nullable<BigInt>,
        asked_until -> BigInt,
    }
}
diesel::table! {
    platform (id) {
        id -> Text,
        profile -> Text,
        pinned_at -> BigInt,
    }
}
diesel::table! {
    signing_key (number) {
        number -> Integer,
        id -> Text,
        private -> Text,
        created_at -> BigInt,
        signs_from -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}
diesel::table! {
    orders (id) {
        id -> Text,
        checkout_id -> Text,
        owner -> Text,
        page -> Text,
        currency -> Text,
        expectations -> Text,
        totals -> Text,
        attribution -> Text,
        placed_at -> BigInt,
    }
}
diesel::table! {
    order_line (order_id, position) {
        order_id -> Text,
        position -> Integer,
        id -> Text,
        sku -> Text,
        title -> Text,
        image_url -> Nullable<Text>,
        unit_price -> BigInt,
        original -> BigInt,
        total -> BigInt,
        fulfilled -> BigInt,
        discount -> BigInt,
    }
}
diesel::table! {
    order_event (order_id, sequence) {
        order_id -> Text,
        sequence -> Integer,
        id -> Text,
        kind -> Text,
        occurred_at -> BigInt,
        body -> Text,
    }
}
diesel::table! {
    idempotency_key (principal, operation, resource, key) {
        principal -> Text,
        operation -> Text,
        resource -> Text,
        #[sql_name = "idempotency_key"]
        key -> Text,
        fingerprint -> Text,
        outcome -> Nullable<Text>,
        created_at -> BigInt,
    }
}
diesel::table! {
    idempotency_binding (principal, operation, key) {
        principal -> Text,
        operation -> Text,
        #[sql_name = "idempotency_key"]
        key -> Text,
        resource -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    reference_revision (name) {
        name -> Text,
        revision -> BigInt,
    }
}

diesel::joinable!(stock -> variant (sku));
diesel::allow_tables_to_appear_in_same_query!(variant, stock, reference_revision);
diesel::joinable!(address -> customer (customer_id));
diesel::allow_tables_to_appear_in_same_query!(customer, address);
diesel::allow_tables_to_appear_in_same_query!(payment_attempt, checkout);
diesel::allow_tables_to_appear_in_same_query!(orders, order_line);
diesel::allow_tables_to_appear_in_same_query!(idempotency_key, idempotency_binding);
diesel::allow_tables_to_appear_in_same_query!(delivery, destination);
