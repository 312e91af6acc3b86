# frozen_string_literal: true

module Tasker
  # Handles the durable and broadcast events of a namespace, each at least once.
  #
  #   consumer = Tasker::Consumer.new(namespace: "orders") { |event| book(event.id, event.payload) }
  #   consumer.run
  #
  # An event whose handler raises is read again, later each time; Tasker::PermanentError makes it a
  # dead letter.
  class Consumer
    RUNS = "this consumer runs already"
    private_constant :RUNS

    # @param namespace [String]
    # @param database_url [String, nil] nil: DATABASE_URL
    # @param concurrency [Integer, nil] events at once; 16
    # @param visible [Numeric, nil] seconds that others do not see an event; a handler may take
    #   three quarters of it
    # @param max_attempts [Integer, nil] until an event becomes a dead letter; 10
    # @param grace [Numeric, nil] seconds that running handlers have to end in at a shutdown
    # @param poll_only [Boolean, nil] never LISTEN
    # @param log [String, nil] what is logged, in the form of RUST_LOG
    # @yieldparam event [DomainEvent]
    def initialize(namespace:, database_url: nil, concurrency: nil, visible: nil,
                   max_attempts: nil, grace: nil, poll_only: nil, log: nil, logger: nil, &block)
      @options = { namespace: namespace.to_s, database_url: database_url, concurrency: concurrency,
                   visible_ms: visible && (visible * 1000).round, max_attempts: max_attempts,
                   grace_ms: grace && (grace * 1000).round, poll_only: poll_only, log: log }.compact
      @logger = logger
      @block = block
    end

    # @yieldparam event [DomainEvent]
    def handler(&block) = @block = block

    # Starts it on threads of its own and returns when it runs.
    # @raise [StartError, NativeError]
    # @return [self]
    def start
      raise StartError, RUNS if @runtime&.here?
      raise StartError, "this consumer has no handler" unless @block

      native = NativeLoader.native.start_consumer(JSON.generate(@options))
      # Before it runs, so that it can be asked to stop.
      @runtime = Runtime.new(native, @logger || Tasker.logger,
                             handlers: { "domain_event" => method(:consume) })
      @runtime.start
      at_exit { stop if @runtime&.here? }
      self
    rescue StartError, ArgumentError => error
      @runtime = nil unless error.message == RUNS
      raise error.is_a?(StartError) ? error : StartError.new(error.message)
    end

    # Asks it to stop, and returns at once: running handlers have the grace period to end in, and
    # the rest is given back.
    # @return [Boolean] false: it does not run
    def shutdown
      runtime = @runtime or return false
      runtime.check_fork!
      runtime.shutdown
      true
    end

    # Stops it and waits for its end.
    # @return [nil]
    def stop
      wait if shutdown
      nil
    end

    # @param seconds [Numeric, nil] nil: as long as it takes
    # @return [Boolean] whether it has ended
    # @raise [StartError] why it ended, if it was not asked to
    def wait(seconds = nil)
      runtime = @runtime or return true
      runtime.check_fork!
      # Not where something else ends the wait, as Interrupt does: it runs on.
      runtime.wait(seconds).tap { |ended| @runtime = nil if ended }
    rescue StartError
      # It says why it ended by itself.
      @runtime = nil if runtime&.here?
      raise
    end

    # Runs it until SIGTERM or ctrl-c: call it in the main thread.
    # @return [nil]
    def run
      Signals.run(self)
    end

    private

    def consume(text, _id, _cancel)
      Runner.event(@block, DomainEvent.from(ExactJson.parse(text)["event"]))
    end
  end
end
