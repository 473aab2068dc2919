//! Parameters as Stripe takes them: `a=1&metadata[b]=2&list[]=3`, in a body or in a query.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// Taken out one by one; whatever is left at the end is unknown, which is refused.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The same for the same parameters, in whatever order.
    pub fn fingerprint(&self) -> String {
        let mut pairs = self.0.clone();
        pairs.sort();
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// An empty value means that the parameter is not set.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.extract(|key| (key == name).then(String::new)).pop().map(|(_, value)| value).filter(|it| !it.is_empty())
    }

    pub fn required(&mut self, name: &str) -> Result<String, Refusal> {
        self.take(name).ok_or_else(|| missing(name))
    }

    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let refusal = || Refusal::invalid(format!("Invalid integer: {text}")).code("parameter_invalid_integer");
        text.parse().map(Some).map_err(|_| refusal().param(name))
    }

    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let refusal = || Refusal::invalid(format!("Invalid boolean: {text}")).param(name);
        text.parse().map(Some).map_err(|_| refusal())
    }

    pub fn one_of(&mut self, name: &str, allowed: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let found = allowed.iter().find(|value| **value == text).copied();
        let choices = allowed.join(", ");
        let refusal = || Refusal::invalid(format!("Invalid {name}: must be one of {choices}")).param(name);
        found.map(Some).ok_or_else(refusal)
    }

    /// `name[key]=value`.
    pub fn map(&mut self, name: &str) -> BTreeMap<String, String> {
        self.within(name).into_iter().collect()
    }

    /// `name[]=value` or `name[0]=value`.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        self.within(name).into_iter().map(|(_, value)| value).collect()
    }

    pub fn finish(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::invalid(format!("Received unknown parameter: {name}"))
                .code("parameter_unknown")
                .param(name)),
        }
    }

    fn within(&mut self, name: &str) -> Vec<(String, String)> {
        let inner = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        self.extract(inner)
    }

    fn extract(&mut self, chosen: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let mut extracted = Vec::new();
        self.0.retain(|(key, value)| match chosen(key) {
            Some(inner) => {
                extracted.push((inner, value.clone()));
                false
            }
            None => true,
        });
        extracted
    }
}

pub(crate) fn missing(name: &str) -> Refusal {
    Refusal::invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name)
}
