# frozen_string_literal: true

module Tasker
  # How a worker and a consumer start, wait, and stop. They say how by `launch`, which makes
  # @runtime, and may clean up in `gone`.
  module Program
    # Of any number among the settings; the worker says what is still too large.
    MOST = 1_000_000_000
    private_constant :MOST

    # Starts it on threads of its own and returns when it runs. Installs no signal handler; in a
    # server that forks, call it in the fork.
    # @raise [StartError] its settings, its handlers, or the database cannot be used
    # @raise [NativeError]
    # @return [self]
    def start
      raise StartError, "this #{self.class.name[/\w+\z/].downcase} runs already" if running?

      begin
        launch
      rescue StartError, ArgumentError => error
        gone
        raise error.is_a?(StartError) ? error : StartError.new(error.message)
      end
      # Once, however often it starts.
      @at_exit ||= at_exit { stop if running? }
      self
    end

    # Asks it to stop, and returns at once: it takes nothing more, what runs has the grace period to
    # end in, and the rest is given back.
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

    private

    def gone = @runtime = nil

    def log = @logger || Tasker.logger

    # Settings are checked here, as what the native part says of them names types of its own.

    # @return [Integer, nil] milliseconds
    def millis(name, seconds)
      return if seconds.nil?

      fits = seconds.is_a?(Numeric) && seconds.real? && seconds >= 0 && seconds <= MOST
      return (seconds * 1000).round if fits

      raise ArgumentError, "#{name}: give seconds as a number, as 30 or 0.5, not #{seconds.inspect}"
    end

    def count(name, value)
      return value if value.nil? || (value.is_a?(Integer) && value.between?(1, MOST))

      raise ArgumentError, "#{name}: give a whole number from 1, not #{value.inspect}"
    end

    def block!(what, block)
      block or raise ArgumentError, "#{what} has no block"
    end
  end
end
