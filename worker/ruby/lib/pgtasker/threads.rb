# frozen_string_literal: true

module Tasker
  # Threads that are made as needed: no more than there is work at once, which the worker's
  # concurrency bounds. They are never ended by force.
  #
  # Ruby runs one thread at a time, and each change of threads costs more than a short handler. So
  # new work wakes few of them, which take one piece after the other; what they do not take within
  # STALL, since they wait for something, wakes a thread for each piece.
  # @api private
  class Threads
    # Threads that take new work at once.
    EAGER = 2
    # Seconds that work waits for them.
    STALL = 0.002

    # A thread: what it waits for, whether it was woken, and since when it does its piece of work.
    class Place
      attr_reader :ready
      attr_accessor :is_woken, :since

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
      @woken = 0
      @stalled = ConditionVariable.new
      @closed = false
      @watch = start { watch }
    end

    # @param work [Array]
    def post(work)
      @lock.synchronize do
        @work.concat(work)
        woken = wake([EAGER - eager, work.size].min)
        @stalled.signal if woken < work.size
      end
    end

    # Starts the thread that watches again where something else has ended it.
    def tend
      @lock.synchronize { @watch = start { watch } unless @watch.alive? || @closed }
    end

    # @return [Integer] how many there are
    def size = @lock.synchronize { @places.size }

    # Lets what waits end, for so long at most.
    # @param seconds [Numeric]
    def stop(seconds)
      threads = @lock.synchronize do
        @closed = true
        @stalled.signal
        wake(@work.size - @woken)
        @idle.each { |place| place.ready.signal }
        [*@places.keys, @watch]
      end
      deadline = now + seconds
      threads.each { |thread| thread.join([deadline - now, 0].max) }
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # Those that have begun a moment ago, and so may soon take more.
    def eager
      moment = now - STALL
      @places.each_value.count { |place| place.since && place.since > moment }
    end

    # Those that had work last know it best: their memory is in the processor's.
    # @return [Integer] how many were woken
    def wake(count)
      count = [count, 0].max
      count.times do |n|
        idle = @idle.pop
        place = idle || Place.new
        place.since = now
        place.is_woken = true
        idle ? idle.ready.signal : @places[start { run(place) }] = place
        @woken += 1
      rescue ThreadError
        # The system gives no more threads: those that there are take the work, or a later try.
        return n
      end
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
        @stalled.signal
      end
    end

    def take(place)
      @lock.synchronize do
        awake(place)
        while @work.empty?
          return if @closed

          place.since = nil
          @idle << place
          place.ready.wait(@lock) until place.is_woken || @closed
          awake(place)
        end
        place.since = now
        @work.shift
      end
    end

    def awake(place)
      @woken -= 1 if place.is_woken
      place.is_woken = false
    end

    # Wakes a thread for each piece that waits for too long.
    def watch
      @lock.synchronize do
        until @closed
          @work.empty? ? @stalled.wait(@lock) : stalled
        end
      end
    end

    def stalled
      before = @work.first
      @lock.sleep(STALL)
      # They still take one piece after the other: a change of threads would only slow them down.
      wake(@work.size - @woken) if !before.nil? && @work.first.equal?(before)
    end
  end
end
