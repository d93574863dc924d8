//! Where in a nested value something went wrong.

use std::fmt;

/// One step from a container to an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Element of an array, list or tuple.
    Index(usize),
    /// Value under a key, shown as text.
    Key(String),
    /// The key of the n-th entry itself.
    KeyOf(usize),
}

/// The way from the outermost value to the culprit, such as `["players"][3]`. Empty where it is the value itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// Innermost step first: errors grow outwards while they travel up.
    inner_first: Vec<Step>,
}

impl Path {
    /// Notes that the value so far stands under `step` of a larger one.
    pub(crate) fn push_outer(&mut self, step: Step) {
        self.inner_first.push(step);
    }

    /// The steps from the outermost to the innermost.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.inner_first.iter().rev()
    }

    /// Whether the culprit is the whole value.
    pub fn is_empty(&self) -> bool {
        self.inner_first.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the value itself");
        }
        for step in self.steps() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key}]")?,
                Step::KeyOf(index) => write!(f, ".key({index})")?,
            }
        }
        Ok(())
    }
}
