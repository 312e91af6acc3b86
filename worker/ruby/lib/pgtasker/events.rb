# frozen_string_literal: true

module Tasker
  # An event that is about to be published; a publisher changes its payload and its metadata.
  Publication = ::Struct.new(:name, :payload, :metadata, keyword_init: true) do
    include Discreet

    private

    def shown = [name]
  end

  # A domain event, as subscribers and consumers get it. `id` is its idempotency key.
  DomainEvent = ::Struct.new(:id, :name, :version, :namespace, :template, :task_id, :step,
                             :claim_no, :correlation_id, :traceparent, :time, :payload, :metadata,
                             keyword_init: true) do
    include Discreet

    # @api private
    def self.from(item)
      new(**members.to_h { |member| [member, item[member.name]] })
    end

    private

    def shown = [name, id]
  end

  # The events of one pattern, handed to a block one after the other by a thread of its own.
  # @api private
  class Subscription
    # Events that wait; then the oldest is lost. No step waits for a subscriber.
    MAX_WAITING = 1_024

    # @return [Integer] events that came faster than they were taken
    attr_reader :lost

    def initialize(pattern, logger, &block)
      @pattern = pattern
      @logger = logger
      @block = block
      @waiting = Queue.new
      @lost = 0
    end

    def start
      @thread = Thread.new { run }
      @thread.name = "tasker events"
    end

    def push(event)
      @waiting << event
      return if @waiting.size <= MAX_WAITING

      @waiting.pop(true)
      @lost += 1
      @logger.warn("events of #{@pattern} are lost: its subscriber is too slow") if @lost == 1
    rescue ThreadError
      # It was taken meanwhile.
      nil
    end

    # Lets the block take what waits.
    def stop(seconds)
      @waiting.close
      @thread&.join(seconds)
    end

    private

    def run
      while (event = @waiting.pop)
        hand_over(event)
      end
    end

    def hand_over(event)
      why = Runner::VANISHED["message"]
      Runner.around { @block.call(event) }
      why = nil
    rescue Exception => error # rubocop:disable Lint/RescueException
      why = Failures.outcome(error)["message"]
    ensure
      Failures.complain(@logger, "the subscriber of #{@pattern}: #{why}") if why
      # The thread is for the next event, also where the block wanted to end it.
      return # rubocop:disable Lint/EnsureReturn
    end
  end
end
