# frozen_string_literal: true

module Tasker
  # A worker in this process: it takes the steps of its namespaces, and calls their handlers.
  #
  #   worker = Tasker::Worker.new(namespaces: ["orders"])
  #   worker.handler("charge_card") { |ctx| { charged: ctx.context["amount"] } }
  #   worker.run
  #
  # The variables of `tasker worker`, as TASKER_WORKER_CONCURRENCY, override what is given here.
  class Worker
    RUNS = "this worker runs already"
    private_constant :RUNS

    # @return [Object] what handlers have as `ctx.state`
    attr_accessor :state
    # @return [Logger]
    attr_accessor :logger
    # @return [Array<String>] the namespaces that it serves
    attr_accessor :namespaces
    # @return [Integer, nil] steps at once; 64
    attr_accessor :concurrency

    # @param namespaces [Array<String>]
    # @param database_url [String, nil] nil: DATABASE_URL
    # @param handlers [Array<Class>, nil] nil: all loaded classes that say `handler` or `callable`
    # @param concurrency [Integer, nil] steps at once; 64
    # @param lease [Numeric, nil] seconds that a claim holds; 30
    # @param grace [Numeric, nil] seconds that running steps have to end in at a shutdown; 10
    # @param poll_only [Boolean, nil] never LISTEN
    # @param poll_interval [Numeric, nil] seconds between looks at the queue; 1
    # @param log [String, nil] what the worker logs, in the form of RUST_LOG; "info"
    def initialize(namespaces: [], database_url: nil, handlers: nil, state: nil, concurrency: nil,
                   lease: nil, grace: nil, poll_only: nil, poll_interval: nil, log: nil,
                   logger: nil)
      @namespaces = Array(namespaces).map(&:to_s)
      @state = state
      @concurrency = concurrency
      @logger = logger
      @classes = handlers
      @settings = { database_url: database_url, lease_ms: millis(lease), grace_ms: millis(grace),
                    poll_only: poll_only, poll_interval_ms: millis(poll_interval), log: log }
      @own = {}
      @publishers = {}
      @subscriptions = {}
      @before = []
    end

    # Registers a handler: a block, or an object or a class with the method `call`.
    # @param name [String] as templates say it
    # @param paged [Boolean] see Tasker::Handler::ClassMethods#handler
    def handler(name, target = nil, paged: false, &block)
      target ||= block
      is_class = target.is_a?(Class) && target.method_defined?(:call)
      unless is_class || target.respond_to?(:call)
        raise ArgumentError, "handler #{name} has neither a block nor an object with `call`"
      end

      add(Handler::Entry.new(name.to_s, target, :call, paged))
    end

    # Registers each public method of an object or a class as `<name>.<method>`, and `call` as
    # `<name>`.
    # @param name [String]
    def callable(name, target)
      Handler.methods(name.to_s, target).each { |entry| add(entry) }
    end

    # Looks up handlers that are not registered. The worker then takes every step of its namespaces,
    # and gives back those for which the block returns nil.
    # @yieldparam name [String]
    # @yieldreturn [Proc, Class, #call, nil]
    def resolver(&block) = @resolver = block

    # Asks the block about every event whose name matches the pattern before it is published: it
    # returns the event, changed or not, or nil to keep it back.
    # @param pattern [String] "payment.*"
    # @yieldparam event [Publication]
    # @yieldparam ctx [StepContext]
    def publisher(pattern, &block)
      raise ArgumentError, "a publisher of #{pattern} is there" if @publishers.key?(pattern)

      @publishers[pattern] = block
    end

    # Calls the block with each fast or broadcast event of this process that matches the pattern, in
    # a thread of its own, one after the other.
    # @param pattern [String] "payment.*"
    # @yieldparam event [DomainEvent]
    def subscribe(pattern, &block)
      raise ArgumentError, "a subscriber of #{pattern} is there" if @subscriptions.key?(pattern)

      @subscriptions[pattern] = block
    end

    # Starts the worker on threads of its own and returns when it runs. Installs no signal handler;
    # in a server that forks, call it in the fork.
    # @raise [StartError] its settings, its handlers' names, or the database cannot be used
    # @raise [NativeError]
    # @return [self]
    def start
      raise StartError, RUNS if running?

      @before.each(&:call)
      @entries = Handler.entries(@classes).merge(@own)
      start_runtime
      at_exit { stop if running? }
      self
    rescue StartError, ArgumentError => error
      gone unless error.message == RUNS
      raise error.is_a?(StartError) ? error : StartError.new(error.message)
    end

    # Asks it to stop, and returns at once: no more claims, and running steps have the grace period
    # to end in.
    # @return [Boolean] false: it does not run
    def shutdown
      runtime = @runtime or return false
      runtime.check_fork!
      runtime.shutdown
      true
    end

    # Stops it and waits for its end.
    # @raise [StartError] it had ended before it was asked to
    # @return [nil]
    def stop
      wait if shutdown
      nil
    end

    # Waits for its end.
    # @param seconds [Numeric, nil] nil: as long as it takes
    # @return [Boolean] whether it has ended
    # @raise [StartError] why it ended, if it was not asked to
    def wait(seconds = nil)
      runtime = @runtime or return true
      runtime.check_fork!
      # Not where something else ends the wait, as Interrupt does: it runs on.
      runtime.wait(seconds).tap { |ended| gone if ended }
    rescue StartError
      # It says why it ended by itself.
      gone if runtime&.here?
      raise
    end

    # Runs it until SIGTERM or ctrl-c: call it in the main thread. A second signal ends the process
    # at once.
    # @raise [StartError, NativeError]
    # @return [nil]
    def run
      Signals.run(self)
    end

    # @return [Boolean]
    def running? = !@runtime.nil? && @runtime.here?

    # @return [String, nil] the id under which it stands in the database
    def id = @native&.id

    # @return [Hash] whether it can do its work, as /health says
    def health = @native ? JSON.parse(@native.health) : {}

    # @return [String] the metrics of this process, as Prometheus reads them
    def metrics = @native ? @native.metrics : ""

    # @api private
    def before_start(&block) = @before << block

    # @api private
    def options
      paged, plain = @entries.values.partition(&:paged)
      all = { namespaces: @namespaces, concurrency: @concurrency, handlers: plain.map(&:name),
              paged_handlers: paged.map(&:name), resolver: !@resolver.nil?,
              publishers: @publishers.keys, subscriptions: @subscriptions.keys }
      @settings.merge(all).compact
    end

    private

    def millis(seconds) = seconds && (seconds * 1000).round

    def add(entry)
      raise ArgumentError, "handler #{entry.name} is there" if @own.key?(entry.name)

      @own[entry.name] = entry
    end

    def log = @logger || Tasker.logger

    def start_runtime
      native = NativeLoader.native
      @listeners = @subscriptions.to_h do |pattern, block|
        [pattern, Subscription.new(pattern, log, &block).tap(&:start)]
      end
      @native = native.start(JSON.generate(options))
      # Before it runs, so that it can be asked to stop.
      @runtime = Runtime.new(@native, log, handlers: { "step" => method(:step),
                                                       "publication" => method(:publication) },
                                           inline: { "event" => method(:event) })
      @runtime.start
    end

    def gone
      @runtime = nil
      @listeners&.each_value { |one| one.stop(1) }
    end

    def step(text, id, cancel)
      item = JSON.parse(text, max_nesting: false)
      item = ExactJson.parse(text, exact: true) if item.key?("inexact")
      ctx = StepContext.new(item, port: @runtime, id: id, cancel: cancel, state: @state,
                                  logger: log)
      entry = entry(ctx.handler) or return Runner::RELEASE
      Runner.step(entry, ctx)
    end

    def entry(name)
      known = @entries[name]
      return known if known

      found = @resolver&.call(name)
      found && Handler::Entry.new(name, found, :call, false)
    end

    def publication(text, _id, _cancel)
      item = ExactJson.parse(text)
      event = Publication.new(**item.slice("name", "payload", "metadata").transform_keys(&:to_sym))
      ctx = StepContext.new(item["step"], port: nil, state: @state, logger: log)
      Runner.publication(@publishers.fetch(item["pattern"]), event, ctx)
    end

    def event(item)
      @listeners[item["pattern"]]&.push(DomainEvent.from(item["event"]))
    end
  end
end
