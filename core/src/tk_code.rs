//! The engine's error codes: SQLSTATEs that begin with TK, raised in sql/ and documented in
//! docs/sql-api.md. A test holds this list against both.

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $meaning:expr;)+) => {
        /// Why the engine refused a call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum TkCode {
            $(#[doc = $code] $name,)+
        }

        impl TkCode {
            /// All of them, by code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The SQLSTATE.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status of the HTTP API's answer; 500 where the caller is not to blame: the
            /// engine contradicts itself, or the server calls it in a wrong way.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What happened, as docs/sql-api.md has it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }
        }
    };
}

codes! {
    NoNamespace "TK001" 404
        "no such namespace";
    NoTemplate "TK002" 404
        "no such template in the namespace";
    NoVersion "TK003" 404
        "the template has no such version";
    NoTask "TK004" 404
        "no such task";
    ContextNoObject "TK005" 422
        "the context is not a JSON object";
    IdempotencyKeyUsed "TK006" 409
        "the idempotency key belongs to a task with other content";
    LeaseOutOfRange "TK007" 422
        "a lease below one second or above one day";
    SizeOutOfRange "TK008" 422
        "a batch size below 1 or above 100,000, a queue's limit below 1, an impossible \
        time span, page, or `run_at`";
    InvalidArgument "TK009" 422
        "an invalid argument: not a list, or an element without a required field";
    InvalidTemplate "TK010" 422
        "the template is not valid";
    VersionDiffers "TK011" 409
        "this version is applied with other content";
    NamespaceHeld "TK012" 409
        "another transaction has held the template's namespace for ten seconds";
    ResultsTooLarge "TK013" 422
        "the results of a task have more than 16 MiB";
    HeartbeatTooLarge "TK014" 422
        "a heartbeat with over 100 namespaces, 1,000 handlers, or 8 KiB of info, or \
        with invalid names";
    WrongIsolation "TK017" 500
        "a worker's or orchestrator's call that writes, in REPEATABLE READ or \
        SERIALIZABLE";
    OverLimit "TK019" 422
        "over a limit of `tasker.settings`: a context, the contexts of one call, an \
        idempotency key, a result given by hand, a reason, a note, `p_by`";
    IllegalMove "TK020" 500
        "a move that the state machine does not have";
    KeyChange "TK021" 500
        "an attempt to change the key of a task or step";
    IllegalStart "TK022" 500
        "an attempt to start a task or step in a state other than pending";
    Truncate "TK023" 500
        "truncate of tasks, steps, or audit";
    AuditChange "TK024" 500
        "an attempt to change an audit row, or to delete it before its task";
    InvalidFilter "TK030" 422
        "a filter of tasks or dead letters is empty, has unknown keys, or values of the \
        wrong type";
    TaskFinished "TK031" 409
        "the task has finished";
    NoStep "TK032" 404
        "the task has no such step";
    StepPassed "TK033" 409
        "the step is complete, or steps that depend on it have started without it";
    TaskHeld "TK034" 409
        "another transaction has held the task or step for two seconds";
    OutcomeNeeded "TK035" 422
        "a decision or batchable cannot be resolved without its outcome, or with an \
        invalid one";
    NoDeadLetter "TK040" 404
        "no such dead letter";
    DeadLetterStatus "TK041" 409
        "a dead letter cannot change to that: no such status, not pending any more, or \
        its task has another pending entry";
    NothingToReplay "TK042" 409
        "a dead letter has nothing to replay: its task is neither blocked_by_failures \
        nor in error, or its queue is gone";
    NoEventsQueue "TK050" 404
        "no template of the namespace publishes durable events, so it has no queue of \
        events";
    InvalidEventReport "TK051" 422
        "`p_failed` of `finish_events` is not a list of \
        `{\"msg_id\",\"delay_ms\",\"error\",\"dead\"}`";
    HiddenCharacters "TK052" 422
        "`by`, a reason, or notes have control characters, characters that change the \
        direction of text, or invisible ones; `by` is blank, or looks like what the \
        audit adds";
    OtherNamespace "TK053" 403
        "the login or key is limited to namespaces, and this is another one, a table, \
        or concerns all of them";
    NoRole "TK054" 422
        "a namespace is granted to a role that does not exist, or its name is invalid";
    InvalidSetting "TK058" 422
        "there is no such setting, or it cannot have this value";
    Contradiction "TK099" 500
        "a task's counters contradict each other";
    PermanentFailure "TKP01" 500
        "raise it in a function of the `sql` handler";
    OutcomeTooLarge "TKP02" 500
        "the outcome of a function of the `sql` handler is over its limit as text";
}

impl TkCode {
    /// The code of this SQLSTATE; none: it is not one of the engine's.
    pub fn parse(sqlstate: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.code() == sqlstate)
    }
}
