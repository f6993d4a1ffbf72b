//! What a run may still use up.

use super::super::Limits;
use super::super::value::Value;
use super::{Evaluated, Execution, Fault};

/// Steps between two looks at the clock.
const CLOCK_STRIDE: u64 = 256;

impl Execution {
    pub(super) fn spend(&mut self, steps: u64) -> Evaluated<()> {
        let before = self.steps;
        self.steps += steps;
        if self.steps > self.limits.steps {
            let limit = self.limits.steps;
            return Err(Fault::Limit(format!(
                "rendering took more than {limit} steps, does it ever end?"
            )));
        }
        if before / CLOCK_STRIDE != self.steps / CLOCK_STRIDE
            && self.started.elapsed() > self.limits.time
        {
            let limit = self.limits.time.as_secs_f64();
            return Err(Fault::Limit(format!(
                "rendering took longer than {limit} s"
            )));
        }
        Ok(())
    }

    /// Goes one level deeper; the stack is finite.
    pub(super) fn nested<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Evaluated<T>,
    ) -> Evaluated<T> {
        if self.nesting >= self.limits.nesting {
            let limit = self.limits.nesting;
            return Err(Fault::Limit(format!(
                "templates are nested more than {limit} levels deep, does one include itself?"
            )));
        }
        self.nesting += 1;
        let result = run(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn write(&mut self, text: &str) -> Evaluated<()> {
        self.written += text.len();
        if self.written > self.limits.output {
            let limit = self.limits.output;
            return Err(Fault::Limit(format!(
                "rendering wrote more than {limit} bytes"
            )));
        }
        self.out.push_str(text);
        Ok(())
    }

    pub(super) fn weigh(&mut self, value: &Value) -> Evaluated<()> {
        let bytes = match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len() * size_of::<Value>(),
            _ => size_of::<Value>(),
        };
        self.memory += bytes;
        if bytes > self.limits.value || self.memory > self.limits.memory {
            let limit = if bytes > self.limits.value {
                self.limits.value
            } else {
                self.limits.memory
            };
            return Err(Fault::Limit(format!(
                "functions returned more than {limit} bytes"
            )));
        }
        Ok(())
    }

    /// How large a value may become; functions that multiply ask before they do.
    pub fn value_limit() -> usize {
        Limits::default().value
    }
}
