# frozen_string_literal: true

module Tasker
  # Threads that are made as needed: no more than there is work at once, which the worker's
  # concurrency bounds. They are never ended by force.
  #
  # Ruby runs one thread at a time, and each change of threads costs more than a short handler. So
  # new work wakes one of them, and whoever takes a piece wakes the next for what is left: that one
  # comes in when the first waits for something, and else finds nothing left to do.
  # @api private
  class Threads
    # A thread: what it waits for, and whether it was woken.
    class Place
      attr_reader :ready
      attr_accessor :is_woken

      def initialize
        @ready = ConditionVariable.new
      end
    end

    # @yieldparam work a piece of work; the block must not raise
    def initialize(name, &block)
      @name = name
      @block = block
      @lock = Mutex.new
      @work = []
      @places = {}
      @idle = []
      # Whether a thread is on its way, and has not looked for work yet.
      @waking = false
      @closed = false
    end

    # @param work [Array]
    def post(work)
      @lock.synchronize do
        @work.concat(work)
        wake
      end
    end

    # Tries again where the system gave no thread.
    def tend
      @lock.synchronize { wake unless @work.empty? }
    end

    # @return [Integer] how many there are
    def size = @lock.synchronize { @places.size }

    # Lets what waits end, for so long at most.
    # @param seconds [Numeric]
    def stop(seconds)
      @lock.synchronize do
        @closed = true
        wake unless @work.empty?
        @idle.each { |place| place.ready.signal }
      end
      deadline = now + seconds
      joined = []
      # Those that are woken for what waits may be new.
      until (threads = @lock.synchronize { @places.keys } - joined).empty?
        threads.each { |thread| thread.join([deadline - now, 0].max) }
        joined.concat(threads)
      end
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # Those that had work last know it best: their memory is in the processor's.
    def wake
      return if @waking

      idle = @idle.pop
      place = idle || Place.new
      place.is_woken = true
      idle ? idle.ready.signal : @places[start { run(place) }] = place
      @waking = true
    rescue ThreadError
      # The system gives no more threads: those that there are take the work, or a later try.
      nil
    end

    # What another thread raises in these comes where they wait, and never between taking a piece and
    # doing it, as the piece would be lost. Threads inherit this from their beginning on.
    def start(&block)
      thread = Thread.handle_interrupt(Object => :on_blocking) do
        Thread.new do
          block.call
        rescue Exception # rubocop:disable Lint/RescueException
          # Only such an error: the work raises nothing.
          nil
        end
      end
      thread.name = @name
      thread
    end

    def run(place)
      while (work = take(place))
        @block.call(work)
      end
    ensure
      # Also where the user's code has ended it, as by Thread.exit.
      Thread.handle_interrupt(Object => :never) { forget(place) }
    end

    # Others then take what it was woken for.
    def forget(place)
      @lock.synchronize do
        @places.delete(Thread.current)
        @idle.delete(place)
        awake(place)
        wake unless @work.empty?
      end
    end

    def take(place)
      @lock.synchronize do
        awake(place)
        while @work.empty?
          return if @closed

          @idle << place
          place.ready.wait(@lock) until place.is_woken || @closed
          awake(place)
        end
        wake if @work.size > 1
        @work.shift
      end
    end

    def awake(place)
      @waking = false if place.is_woken
      place.is_woken = false
    end
  end
end
