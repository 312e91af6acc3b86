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
    include Program

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
      @settings = { namespace: namespace.to_s, database_url: database_url, poll_only: poll_only,
                    log: log }
      @visible = visible
      @grace = grace
      @concurrency = concurrency
      @max_attempts = max_attempts
      @logger = logger
      @block = block
    end

    # @yieldparam event [DomainEvent]
    def handler(&block)
      raise ArgumentError, "this consumer has a handler already" if @block

      @block = block!("the handler", block)
    end

    private

    def options
      times = { visible_ms: millis(:visible, @visible), grace_ms: millis(:grace, @grace) }
      counts = { concurrency: count(:concurrency, @concurrency),
                 max_attempts: count(:max_attempts, @max_attempts) }
      { **@settings, **times, **counts }.compact
    end

    def launch
      raise StartError, "this consumer has no handler: give it a block" unless @block

      native = NativeLoader.native.start_consumer(JSON.generate(options))
      # Before it runs, so that it can be asked to stop.
      @runtime = Runtime.new(native, log, handlers: { "domain_event" => method(:consume) })
      @runtime.start
    end

    def consume(text, _id, _cancel)
      Runner.event(@block, DomainEvent.from(ExactJson.parse(text)["event"]))
    end
  end
end
