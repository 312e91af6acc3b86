# frozen_string_literal: true

module Tasker
  # Threads that are made as needed: no more than there is work at once, which the worker's
  # concurrency bounds. Never ended by force.
  # @api private
  class Threads
    def initialize(name)
      @name = name
      @work = Queue.new
      @lock = Mutex.new
      @idle = 0
      @threads = []
    end

    # @yield the work; it must not raise
    def post(&work)
      @lock.synchronize do
        # Counted here, so that work that comes at once finds as many threads.
        @idle.positive? ? @idle -= 1 : @threads << start
      end
      @work << work
    end

    # @return [Integer] how many there are
    def size = @lock.synchronize { @threads.size }

    # Lets what waits end, for so long at most.
    # @param seconds [Numeric]
    def stop(seconds)
      @work.close
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
      @lock.synchronize { @threads.dup }.each do |thread|
        left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        thread.join([left, 0].max)
      end
    end

    private

    def start
      thread = Thread.new { run }
      thread.name = @name
      thread.report_on_exception = false
      thread
    end

    def run
      while (work = @work.pop)
        work.call
        @lock.synchronize { @idle += 1 }
      end
    ensure
      # Ended by the user's code, as by Thread.exit.
      @lock.synchronize { @threads.delete(Thread.current) }
    end
  end
end
