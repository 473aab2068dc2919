//! What is told of an order, to whom, and in which words: the order as its platform reads it, a letter to its buyer.
//!
//! It is asked inside the transaction of each change and does nothing but write. Who carries it is no matter here.

use askama::Template;
use domain::customer::Buyer;
use domain::money::Money;
use domain::order::{Order, OrderEvent, OrderEventKind};
use domain::outbox::{ComposeError, Content, EmailMessage, Notification, NotificationComposer};

use crate::buyer_pages;
use crate::shopping::v2026_04_08::{Surface, render_order};

/// Announces in the words of one protocol version.
#[derive(Clone)]
pub struct Notifications {
    pub shop: String,
    pub surface: Surface,
    /// Whether there is a way to send letters. What nobody can send is not written.
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
        let mut told = vec![Notification { event: name, content }];
        let email = buyer.and_then(|buyer| buyer.email.as_ref());
        if let (true, OrderEventKind::Placed, Some(email)) = (self.mail, &event.kind, email) {
            let letter = self.confirmation(order, email.as_str());
            let letter = letter.map_err(|error| ComposeError::of(CONFIRMATION, &error))?;
            told.push(Notification { event: CONFIRMATION, content: Content::Mail(letter) });
        }
        Ok(told)
    }
}

/// The name of the message to the buyer.
const CONFIRMATION: &str = "order_confirmation";

/// The words that platforms know. A change that has none of its own is an update: the order tells what it was.
fn event_name(event: &OrderEvent) -> &'static str {
    match &event.kind {
        OrderEventKind::Placed => "order_placed",
        OrderEventKind::Shipped(_) if event.is_shipping() => "order_shipped",
        OrderEventKind::Shipped(_) | OrderEventKind::Adjusted(_) => "order_updated",
    }
}

/// The confirmation, for programs that show text and for those that show markup.
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
        let document = serde_json::to_string(&render_order(order, &self.surface))?;
        Ok(Content::Webhook { platform: order.owner.clone(), document })
    }

    fn confirmation(&self, order: &Order, email: &str) -> Result<EmailMessage, askama::Error> {
        let money = |amount| Money { amount, currency: order.currency };
        let lines = order.lines.iter().map(|line| (line.title.as_str(), line.total, money(line.unit_price)));
        let of = ConfirmationOf {
            shop: &self.shop,
            id: order.id.as_str(),
            link: format!("{}{}{}", self.surface.public_url, buyer_pages::ORDER_PATH, order.page.as_str()),
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
