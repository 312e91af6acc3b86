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
    include Program

    NOWHERE = "this worker serves no namespace: set `namespaces` of the worker, or give " \
              "`pgtasker-worker` `-n NAME`"
    # The handler's name, where it is written without escapes.
    NAME = /\A\{"type":"step","id":\d+,"handler":"([^"\\]+)"/
    private_constant :NOWHERE, :NAME

    # @return [Object] what handlers have as `ctx.state`
    attr_accessor :state
    # @return [Logger]
    attr_accessor :logger
    # @return [Array<String>] the namespaces that it serves
    attr_reader :namespaces
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
      self.namespaces = namespaces
      @state = state
      @concurrency = concurrency
      @logger = logger
      @classes = handlers
      @times = { lease: lease, grace: grace, poll_interval: poll_interval }
      @settings = { database_url: database_url, poll_only: poll_only, log: log }
      @own = {}
      @publishers = {}
      @subscriptions = {}
      @before = []
    end

    # @param names [Array<String>, String]
    def namespaces=(names)
      @namespaces = Array(names).map(&:to_s)
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
    def resolver(&block) = @resolver = block!("a resolver", block)

    # Asks the block about every event whose name matches the pattern before it is published: it
    # returns the event, changed or not, or nil to keep it back.
    # @param pattern [String] "payment.*"
    # @yieldparam event [Publication]
    # @yieldparam ctx [StepContext]
    def publisher(pattern, &block)
      raise ArgumentError, "there is a publisher of #{pattern} already" if @publishers.key?(pattern)

      @publishers[pattern] = block!("the publisher of #{pattern}", block)
    end

    # Calls the block with each fast or broadcast event of this process that matches the pattern, in
    # a thread of its own, one after the other.
    # @param pattern [String] "payment.*"
    # @yieldparam event [DomainEvent]
    def subscribe(pattern, &block)
      if @subscriptions.key?(pattern)
        raise ArgumentError, "there is a subscriber of #{pattern} already"
      end

      @subscriptions[pattern] = block!("the subscriber of #{pattern}", block)
    end

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
      raise StartError, NOWHERE if @namespaces.empty? && ENV["TASKER_WORKER_NAMESPACE"].to_s.empty?

      paged, plain = @entries.values.partition(&:paged)
      all = { namespaces: @namespaces, concurrency: count("concurrency", @concurrency),
              **@times.to_h { |name, seconds| [:"#{name}_ms", millis(name, seconds)] },
              handlers: plain.map(&:name),
              paged_handlers: paged.map(&:name), resolver: !@resolver.nil?,
              publishers: @publishers.keys, subscriptions: @subscriptions.keys }
      @settings.merge(all).compact
    end

    private

    def add(entry)
      raise ArgumentError, "there is a handler #{entry.name} already" if @own.key?(entry.name)

      @own[entry.name] = entry
    end

    def launch
      @entries = Handler.merge(Handler.entries(@classes), @own)
      started = options
      @before.each(&:call)
      native = NativeLoader.native
      @listeners = @subscriptions.to_h do |pattern, block|
        [pattern, Subscription.new(pattern, log, &block).tap(&:start)]
      end
      @native = native.start(JSON.generate(started))
      # Before it runs, so that it can be asked to stop.
      @runtime = Runtime.new(@native, log, handlers: { "step" => method(:step),
                                                       "publication" => method(:publication) },
                                           inline: { "event" => method(:event) })
      @runtime.start
    end

    def gone
      super
      @listeners&.each_value { |one| one.stop(1) }
    end

    def step(text, id, cancel)
      ctx = StepContext.new(text, port: @runtime, id: id, cancel: cancel, state: @state,
                                  logger: log)
      entry = entry(text[NAME, 1] || ctx.handler) or return Runner::RELEASE
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
