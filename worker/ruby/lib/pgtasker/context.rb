# frozen_string_literal: true

module Tasker
  # One execution of one step: what a handler gets. It has the methods of Tasker::Decision,
  # Tasker::Batchable, and Tasker::Api for handlers that are blocks.
  class StepContext
    include Decision
    include Batchable
    include Api

    # @return [Object] what was given to the worker as its state
    attr_reader :state
    # @param item [Hash, String] a step as the worker has it; a text is read when it is first asked
    #   for, which takes longer than all else that is done for a short step
    # @param port [#ask] answers what the step asks
    # @api private
    def initialize(item, port:, id: nil, cancel: Cancel.new, state: nil, logger: Tasker.logger)
      @item = item if item.is_a?(Hash)
      @text = item
      @port = port
      @id = id
      @cancel = cancel
      @state = state
      @logger = logger
      @committed = false
    end

    # @return [String] the UUID of the task
    def task_id = item["task_id"]

    # @return [String] the name of the step; an instance of a batch step carries its number
    def step = item["step"]

    # @return [String] the name by which the template calls the handler
    def handler = item["handler"]

    # @return [Integer] executions that count against the template's max_attempts, from 1
    def attempt = item["attempt"]

    # @return [Integer] the fence of this execution: each claim has a higher one
    def claim_no = item["claim_no"]

    # @return [String, nil] the caller's UUID for everything that belongs together
    def correlation_id = item["correlation_id"]

    # @return [String, nil] the W3C trace context for what the handler calls
    def traceparent = item["traceparent"]

    # @return [String] see Tasker::Api#idempotency_key
    def idempotency_key = item["idempotency_key"]

    # @return [Numeric] seconds that the handler may take, by its template
    def timeout = item["timeout_ms"] / 1000.0

    # @param type see Tasker::Convert
    # @return the task's input
    # @raise [InvalidInput] which names the field that does not fit
    def context(type = nil) = Convert.to(item["context"], type, "context")

    # @return the handler's configuration in the template; {} where it has none
    # @raise [InvalidInput]
    def config(type = nil) = Convert.to(item["config"], type, "config")

    # @return what the template makes as the step's inputs, or the cursor of a batch instance; nil
    #   for a step without either
    # @raise [InvalidInput]
    def inputs(type = nil) = Convert.to(item["inputs"], type, "inputs")

    # @param name [String, Symbol] a parent step
    # @return its result
    # @raise [InvalidInput] there is no such parent, or its result does not fit
    def parent(name, type = nil)
      name = name.to_s
      return Convert.to(parents[name], type, "parents.#{name}") if parents.key?(name)

      if paged?
        text = "parents.#{name}: too large for a claim: read it with each_parent_page"
        raise InvalidInput.new(text, code: "input_too_large")
      end
      known = parents.empty? ? "none" : parents.keys.sort.join(", ")
      raise InvalidInput, "parents.#{name}: not a parent of step #{step} (its parents: #{known})"
    end

    # @return [Hash{String => Object}] the parents' results; empty where they come by pages only
    def parents = item["parents"]

    # Reads the parents' results page by page; for handlers with `paged: true`.
    # @yieldparam page [Hash{String => Object}] results by the names of the parents
    # @return [Enumerator] without a block
    def each_parent_page(type = nil)
      return enum_for(:each_parent_page, type) unless block_given?

      after = nil
      while (page = ask("parent_page", { after: after }))
        yield(page.to_h { |name, one| [name, Convert.to(one, type, "parents.#{name}")] })
        after = page.last.first
      end
    end

    # @return [Boolean] whether this step is an instance of a batch, so that it has a cursor
    def batch_instance? = item["is_batch_instance"]

    # @return [Boolean] whether the parents' results come by #each_parent_page only
    def paged? = item["is_paged"]

    # Publishes a domain event with this step's result, if its condition holds. It never fails the
    # step: an event that the step does not declare becomes a dead letter.
    # @param name [String] "payment.processed"
    # @param payload any JSON
    # @raise [InvalidResult] the payload is no JSON
    # @return [nil]
    def publish(name, payload)
      raw = ExactJson.generate(payload, "the event's payload")
      ask("publish", { name: name.to_s, payload: ExactJson::Raw.new(raw) })
      nil
    end

    # @return [Boolean] whether working on is pointless: the task was cancelled, the lease lost,
    #   the time is up, or the worker stops
    def cancelled? = !@cancel.why.nil?

    # @return [String, nil] "cancelled", "timeout", "stopping"
    def cancel_reason = @cancel.why

    # @raise [Cancelled] working on is pointless
    # @return [nil]
    def check_cancelled!
      raise Cancelled, @cancel.why if cancelled?
    end

    # Runs the block in a transaction of its own, which ends the step by `tx.complete(value)`: the
    # block's writes and the step's end commit together, or not at all.
    #
    #   ctx.transaction(conn) do |tx|              # a PG::Connection
    #     conn.exec_params("update …", […])
    #     tx.complete(deposited: 5)
    #   end
    #   ctx.transaction { |tx| account.save!; tx.complete(…) }      # ActiveRecord
    #
    # @param connection [PG::Connection, Class, nil] nil: ActiveRecord::Base
    # @yieldparam tx [Transaction]
    # @return [Outcome] to be returned
    # @raise [RetryableError, PermanentError] the step is no longer ours, or its end was refused
    def transaction(connection = nil, &block)
      raise ArgumentError, "a transaction has no block" unless block

      Transaction.run(self, connection, &block)
    end

    # @return [StepLogger] its lines carry task_id and step
    def logger = @step_logger ||= StepLogger.new(@logger, task_id, step)

    # @return [Hash, nil] the last checkpoint
    # @api private
    def saved = item["checkpoint"]

    # @api private
    def tasker_context = self

    # Asks the worker. Arguments are of JSON already.
    # @raise [RetryableError, PermanentError]
    # @api private
    def ask(what, arguments)
      unless @id
        raise PermanentError, "a publisher has no step that runs: it cannot ask for #{what}"
      end

      answer = ExactJson.parse(@port.ask(@id, what, JSON.generate(arguments, max_nesting: 0)))
      raise StepError.from(answer["error"]) if answer["error"]

      answer["value"]
    end

    # @api private
    def committed!
      @committed = true
      ask("committed", {})
    end

    # @api private
    def committed? = @committed

    # Never shows the step's data.
    def inspect = "#<#{self.class} #{task_id} #{step} attempt #{attempt}>"

    private def item = @item ||= ExactJson.parse_item(@text)

    # Why a step is to stop; set by the poller.
    # @api private
    Cancel = ::Struct.new(:why)
  end
end
