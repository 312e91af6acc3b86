# frozen_string_literal: true

module Tasker
  # SIGTERM and ctrl-c of a process that is a worker or a consumer.
  # @api private
  module Signals
    NAMES = %w[TERM INT].freeze
    # Seconds between two tries to stop what is only about to start.
    PAUSE = 0.05

    module_function

    # Starts it, and waits for its end, which the first signal asks for. The second one ends the
    # process at once.
    # @param what [#start, #shutdown, #wait]
    def run(what)
      asked = Queue.new
      count = 0
      handler = lambda do |number|
        # Within a trap: no lock may be taken here, which a Queue does not need.
        Process.exit!(128 + number) if (count += 1) > 1
        asked << :stop
      end
      before = NAMES.to_h { |name| [name, Signal.trap(name, &handler)] }
      helper = Thread.new { stop(what, asked) }
      what.start
      what.wait
      nil
    ensure
      asked << :over
      helper&.join
      before&.each { |name, old| Signal.trap(name, old || "DEFAULT") }
    end

    def stop(what, asked)
      return if asked.pop == :over

      sleep PAUSE until what.shutdown || !asked.empty?
    end
  end
end
