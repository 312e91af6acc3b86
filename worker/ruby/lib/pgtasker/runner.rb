# frozen_string_literal: true

module Tasker
  # Calls the user's code and judges how it ends.
  # @api private
  module Runner
    RELEASE = '{"type":"release"}'
    SUCCESS = '{"type":"success"}'
    KEEP_BACK = "null"
    # Neither returned nor raised: Thread.exit, or a throw to a place outside.
    VANISHED = { "type" => "failure", "retryable" => true,
                 "message" => "the handler ended its thread" }.freeze

    module_function

    # @param entry [Handler::Entry]
    # @param ctx [StepContext]
    # @return [String] the answer to the step
    def step(entry, ctx)
      judged(ctx) do
        Outcome.text(around { within(ctx) { traced(ctx) { call(entry, ctx) } } })
      end
    end

    # What the block returns, or the failure that it raised. A transaction of its own that has
    # committed has ended the step, whatever came after it.
    def judged(ctx)
      answer = yield
    rescue Exception => error # rubocop:disable Lint/RescueException
      answer = JSON.generate(Failures.outcome(error))
      ctx&.logger&.warn("after its transaction: #{answer}") if ctx&.committed?
      answer
    ensure
      answer = Transaction::SUBMITTED.text if ctx&.committed?
      return answer || JSON.generate(VANISHED) # rubocop:disable Lint/EnsureReturn
    end

    def call(entry, ctx)
      target = Handler.resolve(entry.target)
      if target.is_a?(Class) && target.method_defined?(entry.method)
        target = target.new
        target.tasker_context = ctx if target.respond_to?(:tasker_context=)
      end
      target.public_send(entry.method, ctx)
    end

    # Capabilities of objects that are shared by steps find their step here.
    def within(ctx)
      Thread.current[:tasker_context] = ctx
      yield
    ensure
      Thread.current[:tasker_context] = nil
    end

    # @param block [Proc] a publisher
    # @return [String] the answer to the publication
    def publication(block, publication, ctx)
      kept = around { block.call(publication, ctx) }
      return KEEP_BACK if kept.nil?
      unless kept.is_a?(Publication)
        raise TypeError, "a publisher returns the event or nil, not #{kept.class}"
      end

      payload = ExactJson.generate(kept.payload, "the event's payload")
      metadata = ExactJson.generate(kept.metadata, "the event's metadata")
      %({"payload":#{payload},"metadata":#{metadata}})
    rescue Exception => error # rubocop:disable Lint/RescueException
      JSON.generate({ error: Failures.outcome(error)["message"] })
    end

    # @param block [Proc] a consumer's handler
    # @return [String] the answer to the event
    def event(block, event)
      judged(nil) do
        around { block.call(event) }
        SUCCESS
      end
    end

    def around(&block)
      whole = -> { Connections.without_leftovers(&block) }
      Tasker.around ? Tasker.around.call(&whole) : Connections.released(&whole)
    end

    # The caller's trace goes on, where the application has OpenTelemetry.
    def traced(ctx, &block)
      return yield unless defined?(::OpenTelemetry::Context) && ctx.traceparent

      parent = ::OpenTelemetry.propagation.extract({ "traceparent" => ctx.traceparent })
      ::OpenTelemetry::Context.with_current(parent, &block)
    end
  end
end
