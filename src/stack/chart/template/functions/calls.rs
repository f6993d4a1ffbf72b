//! Functions that need the execution: other templates, and failing on purpose.

use super::{Execution, Fault, Function, Run, Value, pure, text_arg};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "include",
        min: 2,
        max: 2,
        run: Run::Engine(include),
    },
    Function {
        name: "tpl",
        min: 2,
        max: 2,
        run: Run::Engine(tpl),
    },
    Function {
        name: "fail",
        min: 1,
        max: 1,
        run: Run::Engine(fail),
    },
    Function {
        name: "required",
        min: 2,
        max: 2,
        run: Run::Engine(required),
    },
    // There is no cluster to ask, as in `helm template`.
    pure("lookup", 4, 4, |_| Ok(Value::map::<&str>([]))),
    pure("getHostByName", 1, 1, |_| Ok(Value::text(""))),
];

fn include(execution: &mut Execution, args: &[Value]) -> Result<Value, Fault> {
    execution.include(text_arg(args, 0)?, args[1].clone())
}

fn tpl(execution: &mut Execution, args: &[Value]) -> Result<Value, Fault> {
    execution.tpl(text_arg(args, 0)?, args[1].clone())
}

fn fail(_: &mut Execution, args: &[Value]) -> Result<Value, Fault> {
    Err(Fault::Plain(text_arg(args, 0)?.to_owned()))
}

fn required(_: &mut Execution, args: &[Value]) -> Result<Value, Fault> {
    let message = text_arg(args, 0)?;
    match &args[1] {
        value if value.is_nil() => Err(Fault::Plain(message.to_owned())),
        Value::Text(text) if text.is_empty() => Err(Fault::Plain(message.to_owned())),
        value => Ok(value.clone()),
    }
}
