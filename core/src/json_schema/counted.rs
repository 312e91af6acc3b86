//! JSON as the checker sees it: every look at a value is counted, and a check that looks too often,
//! too long, or too deep ends at once. What a schema may cost is exponential; a check must be over
//! within a second or so in any case.

use jsonschema::{
    JsonType,
    json::{Array, Json, Node, NodeIdentity, Object, cmp},
};
use serde_json::{Map, Number, Value};
use std::{
    borrow::Cow,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

/// Looks at values that one check may take. A million of them take some 20 ms.
pub(super) const MOST_LOOKS: u64 = 20_000_000;
/// How long one check may take where looks cost more than usual.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// Looks between two of the clock.
const CLOCK: u64 = 20_000;

/// Why a check ended without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// Too many looks, or too much time.
    Work,
    /// Too deep for the thread's stack.
    Depth,
    /// More violations than are collected.
    Violations,
}

/// What is left of a check's budget.
#[derive(Clone, Copy)]
struct Budget {
    looks: u64,
    violations: u32,
    deadline: Option<Instant>,
    until_clock: u64,
    /// Looks for a byte of a string that a pattern may go through.
    per_byte: usize,
    /// The lowest address of a local variable.
    stack: usize,
}

thread_local! {
    static BUDGET: Cell<Budget> = const {
        Cell::new(Budget {
            looks: 0,
            violations: 0,
            deadline: None,
            until_clock: 0,
            per_byte: 1,
            stack: 0,
        })
    };
}

/// Runs a check with a budget of its own. `stack`: bytes it may take of the thread's stack.
pub(super) fn within<T>(
    looks: u64,
    per_byte: usize,
    stack: usize,
    violations: u32,
    check: impl FnOnce() -> T,
) -> Result<T, Exhausted> {
    let here = 0_u8;
    BUDGET.set(Budget {
        looks,
        violations,
        deadline: Instant::now().checked_add(LONGEST),
        until_clock: CLOCK,
        per_byte,
        stack: (&raw const here as usize).saturating_sub(stack),
    });
    // Nothing is shared with what is unwound: the check's own state goes with it.
    catch_unwind(AssertUnwindSafe(check)).map_err(|thrown| match thrown.downcast::<Exhausted>() {
        Ok(exhausted) => *exhausted,
        Err(other) => resume_unwind(other),
    })
}

/// Counts looks; ends the check when there were too many.
fn look(times: usize) {
    let mut budget = BUDGET.get();
    let times = times as u64;
    let here = 0_u8;
    if (&raw const here as usize) < budget.stack {
        end(Exhausted::Depth);
    }
    if budget.looks < times {
        end(Exhausted::Work);
    }
    budget.looks -= times;
    if budget.until_clock < times {
        budget.until_clock = CLOCK;
        if budget.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            end(Exhausted::Work);
        }
    } else {
        budget.until_clock -= times;
    }
    BUDGET.set(budget);
}

/// Unwinds without a word: no panic hook, no message.
fn end(why: Exhausted) -> ! {
    resume_unwind(Box::new(why))
}

/// The counted representation.
pub(super) struct Counted;

/// A value whose looks are counted.
#[derive(Clone, Copy)]
pub(super) struct CountedNode<'a>(pub(super) &'a Value);

/// An object whose looks are counted.
pub(super) struct CountedObject<'a>(&'a Map<String, Value>);

/// An array whose looks are counted.
pub(super) struct CountedArray<'a>(&'a [Value]);

impl Json for Counted {
    type Node<'a> = CountedNode<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(CountedNode<'_>) -> T) -> T {
        f(CountedNode(&Value::String(string.to_owned())))
    }
}

impl<'a> Node<'a, Counted> for CountedNode<'a> {
    type Object = CountedObject<'a>;
    type Array = CountedArray<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<CountedObject<'a>> {
        look(1);
        self.0.as_object().map(CountedObject)
    }

    fn as_array(&self) -> Option<CountedArray<'a>> {
        look(1);
        self.0.as_array().map(|items| CountedArray(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        // A pattern goes through all of it, at worst with all of its states.
        look(1 + text.map_or(0, |text| text.len().saturating_mul(BUDGET.get().per_byte)));
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        look(1);
        self.0.as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        look(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look(1);
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        let text = self.0.as_str()?;
        look(1 + text.len() / 16);
        Some(text.chars().count() as u64)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        // It goes no further than the smaller of the two, nor than the first difference.
        look(match expected {
            Value::Array(_) | Value::Object(_) => weight(expected),
            Value::String(text) => 1 + text.len() / 64,
            _ => 1,
        });
        cmp::equal(self.0, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        look(1);
        let mut budget = BUDGET.get();
        // Asked for once for each violation, each of which is kept.
        let Some(left) = budget.violations.checked_sub(1) else { end(Exhausted::Violations) };
        budget.violations = left;
        BUDGET.set(budget);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look(1);
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(self.0) as usize))
    }
}

/// How many values there are in this one, itself included.
pub(super) fn weight(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.values().map(weight).sum(),
        Value::String(text) => text.len() / 64,
        _ => 0,
    }
}

impl<'a> Object<'a, Counted> for CountedObject<'a> {
    type Node = CountedNode<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<CountedNode<'a>> {
        look(1);
        self.0.get(key).map(CountedNode)
    }

    fn members(&self) -> Members<'a> {
        Members(self.0.iter())
    }
}

/// The members of an object.
pub(super) struct Members<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, CountedNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        look(1);
        self.0.next().map(|(name, value)| (name.as_str(), CountedNode(value)))
    }
}

impl<'a> Array<'a, Counted> for CountedArray<'a> {
    type Node = CountedNode<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Elements<'a> {
        Elements(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        look(1 + self.0.iter().map(weight).sum::<usize>() * 4);
        // Numbers that no f64 tells apart are compared each with each.
        let long =
            self.0.iter().filter(|item| item.is_number() && item.to_string().len() > 16).count();
        look(long.saturating_mul(long) / 16);
        jsonschema::json::unique::is_unique(self.0)
    }
}

/// The elements of an array.
pub(super) struct Elements<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for Elements<'a> {
    type Item = CountedNode<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        look(1);
        self.0.next().map(CountedNode)
    }
}
