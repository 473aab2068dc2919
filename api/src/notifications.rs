//! Composes the notifications of an order: the webhook to its platform and the confirmation email to its buyer.
//!
//! Storage calls the composer inside the transaction of each change. The composer only builds the contents; the outbox
//! sends them.

use askama::Template;
use domain::customer::Buyer;
use domain::money::Money;
use domain::order::{Order, OrderEvent, OrderEventKind};
use domain::outbox::{ComposeError, Content, EmailMessage, Notification, NotificationComposer};

use crate::buyer_pages;
use crate::shopping::v2026_04_08::{ShoppingSettings, render_order};

/// The composer for one version of the protocol.
#[derive(Clone)]
pub struct Notifications {
    pub shop: String,
    pub settings: ShoppingSettings,
    /// Whether a mail relay is configured. Without one, no email message is composed.
    pub mail: bool,
}

impl NotificationComposer for Notifications {
    fn compose(
        &self,
        order: &Order,
        event: &OrderEvent,
        buyer: Option<&Buyer>,
    ) -> Result<Vec<Notification>, ComposeError> {
        let name = event_name(event);
        let content = self.webhook(order).map_err(|error| ComposeError::of(name, &error))?;
        let mut notifications = vec![Notification { event: name, content }];
        let email = buyer.and_then(|buyer| buyer.email.as_ref());
        if let (true, OrderEventKind::Placed, Some(email)) = (self.mail, &event.kind, email) {
            let message = self.confirmation(order, email.as_str());
            let message = message.map_err(|error| ComposeError::of(CONFIRMATION, &error))?;
            notifications.push(Notification { event: CONFIRMATION, content: Content::Mail(message) });
        }
        Ok(notifications)
    }
}

/// The event name of the confirmation email.
const CONFIRMATION: &str = "order_confirmation";

/// The event name of a webhook. Every change that has no special name is `order_updated`.
fn event_name(event: &OrderEvent) -> &'static str {
    match &event.kind {
        OrderEventKind::Placed => "order_placed",
        OrderEventKind::Shipped(_) if event.is_shipping() => "order_shipped",
        OrderEventKind::Shipped(_) | OrderEventKind::Adjusted(_) => "order_updated",
    }
}

/// The confirmation email as plain text.
#[derive(Template)]
#[template(path = "confirmation.txt")]
struct ConfirmationText<'a> {
    order: &'a ConfirmationOf<'a>,
}

#[derive(Template)]
#[template(path = "confirmation.html")]
struct ConfirmationPage<'a> {
    order: &'a ConfirmationOf<'a>,
}

struct ConfirmationOf<'a> {
    shop: &'a str,
    id: &'a str,
    link: String,
    lines: Vec<(&'a str, i64, Money)>,
    totals: Vec<(&'a str, Money)>,
    delivery: Option<&'a str>,
}

impl Notifications {
    fn webhook(&self, order: &Order) -> Result<Content, serde_json::Error> {
        let document = serde_json::to_string(&render_order(order, &self.settings))?;
        Ok(Content::Webhook { platform: order.owner.clone(), document })
    }

    fn confirmation(&self, order: &Order, email: &str) -> Result<EmailMessage, askama::Error> {
        let money = |amount| Money { amount, currency: order.currency };
        let lines = order.lines.iter().map(|line| (line.title.as_str(), line.total, money(line.unit_price)));
        let of = ConfirmationOf {
            shop: &self.shop,
            id: order.id.as_str(),
            link: format!("{}{}{}", self.settings.public_url, buyer_pages::ORDER_PATH, order.page.as_str()),
            lines: lines.collect(),
            totals: order.totals.iter().map(|total| (total.label.as_str(), money(total.amount))).collect(),
            delivery: order.expectations.first().map(|expectation| expectation.description.as_str()),
        };
        Ok(EmailMessage {
            to: email.to_owned(),
            subject: format!("Your order at {}", self.shop),
            text: ConfirmationText { order: &of }.render()?,
            html: ConfirmationPage { order: &of }.render()?,
        })
    }
}
