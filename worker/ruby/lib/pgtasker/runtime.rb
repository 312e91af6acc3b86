# frozen_string_literal: true

module Tasker
  # What a worker and a consumer run on: a thread that polls, threads for the user's code, and a
  # thread that answers.
  # @api private
  class Runtime
    MAX_ITEMS = 500
    # Seconds of one wait: the end, and signals, are looked at as often.
    WAIT = 0.5
    # `type` and `id` come first; an item is read whole by the thread that it is for.
    HEAD = /\A\{"type":"(\w+)"(?:,"id":(\d+))?/

    # What other threads raise comes at once.
    AT_ONCE = { Object => :immediate }.freeze
    STOPPED = '{"type":"stopped"'

    # An item that a thread is for.
    Job = ::Struct.new(:type, :handler, :text, :id, :cancel)

    # @param native [Native] as it was started
    # @param logger [Logger]
    # @param handlers [Hash{String => Proc}] by an item's type: called with its text, its id, and
    #   its cancel, in a thread of its own; what it returns is the answer
    # @param inline [Hash{String => Proc}] called with the item by the poller, and not answered
    def initialize(native, logger, handlers:, inline: {})
      @native = native
      @logger = logger
      @handlers = handlers
      @inline = inline
      @pid = Process.pid
      @cancels = {}
      @lock = Mutex.new
      @answers = Queue.new
      @threads = Threads.new("tasker handler") { |job| work(job) }
    end

    # @return [Integer] threads of the pool
    def threads = @threads.size

    # Starts the threads and waits until the worker runs.
    # @raise [StartError]
    def start
      @poller = named("tasker poll") { poll }
      @completer = named("tasker complete") { complete }
      nil until @native.started(WAIT)
    rescue RuntimeError => error
      raise unless own?(error)

      finish(0)
      raise StartError, error.message
    end

    # What a step asks of the worker.
    def ask(id, what, arguments) = @native.ask(id, what, arguments)

    # @return [Boolean] whether this is the process that has started it
    def here? = @pid == Process.pid

    # @raise [StartError] this is a fork of that process
    def check_fork!
      return if here?

      raise StartError, "this worker was started in process #{@pid}, and its threads are not in " \
                        "its fork #{Process.pid}: start the worker after the fork"
    end

    def shutdown = @native.shutdown

    # Waits for the end.
    # @param seconds [Numeric, nil] nil: as long as it takes
    # @return [Boolean] whether it has ended
    # @raise [StartError] why it ended, if it was not asked to
    def wait(seconds = nil)
      deadline = seconds && (now + seconds)
      until @native.wait([WAIT, deadline ? deadline - now : WAIT].min.clamp(0, WAIT))
        return false if deadline && now >= deadline
      end
      finish(1)
      raise StartError, @lost if @lost

      true
    rescue RuntimeError => error
      raise unless own?(error)

      finish(1)
      raise StartError, error.message
    end

    private

    # Whether the worker has ended with an error; others may be raised here by another thread, as
    # Timeout does, and it runs on.
    def own?(error)
      return false unless error.instance_of?(RuntimeError)

      @native.wait(0) && false
    rescue RuntimeError
      true
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def complain(text) = Failures.complain(@logger, text)

    # One of the two threads without which nothing goes on. They return true at the worker's end;
    # one that something else has ended, as Thread#kill, ends the worker.
    def named(name)
      thread = Thread.new do
        is_over = yield
      rescue Exception => error # rubocop:disable Lint/RescueException
        complain("#{name}: #{Failures.described(error)}") if here?
      ensure
        lost(name) unless is_over
      end
      thread.name = name
      thread
    end

    def lost(name)
      return unless here?

      @lost = "something in this process has ended the thread `#{name}`, without which the " \
              "worker cannot work: it stops"
      complain(@lost)
      @native.shutdown
    end

    # Handlers that go on beyond the grace period end with the process.
    def finish(seconds)
      @poller&.join
      @threads.stop(seconds)
      @answers.close
      @completer&.join(WAIT)
    end

    def poll
      loop do
        @threads.tend
        items = @native.poll(MAX_ITEMS, WAIT)
        jobs, others = items.map { |text| take(text) }.partition { |one| one.is_a?(Job) }
        # First, so that a cancel finds the step that came with it.
        hand_over(jobs) unless jobs.empty?
        others.each(&:call)
        return true if items.last&.start_with?(STOPPED)
      end
    end

    # @return [Job, Proc] what a thread is for, or what the poller does itself
    def take(text)
      type, id = HEAD.match(text)&.captures
      id &&= id.to_i
      handler = @handlers[type]
      return Job.new(type, handler, text, id, StepContext::Cancel.new) if handler

      -> { tell(type, id, text) }
    end

    # A failure here must not end the poller: it is the item's own.
    def tell(type, id, text)
      case type
      when "stopped" then nil
      when "cancel" then cancel(id, JSON.parse(text)["why"])
      when "log" then StepLogger.forward(@logger, JSON.parse(text))
      else
        inline = @inline.fetch(type) { raise Error, "nothing here knows an item #{type}" }
        inline.call(ExactJson.parse(text))
      end
    rescue Exception => error # rubocop:disable Lint/RescueException
      complain("an item was lost: #{Failures.described(error)}")
      answer(id, failed(type, Failures.outcome(error))) if id
    end

    def hand_over(jobs)
      @lock.synchronize { jobs.each { |job| @cancels[job.id] = job.cancel } }
      @threads.post(jobs)
    end

    def cancel(id, why)
      @lock.synchronize { @cancels[id]&.why = why }
    end

    def work(job)
      # The pool holds off what other threads raise, until here.
      answer = Thread.handle_interrupt(AT_ONCE) do
        job.handler.call(job.text, job.id, job.cancel)
      end
    rescue Exception => error # rubocop:disable Lint/RescueException
      answer = failed(job.type, Failures.outcome(error))
    ensure
      answer(job.id, answer || failed(job.type, Runner::VANISHED))
    end

    # The answer to a publication has no failure: it would be taken for an event.
    def failed(type, failure)
      JSON.generate(type == "publication" ? { error: failure["message"] } : failure)
    end

    def answer(id, text)
      @answers << [id, text]
    rescue ClosedQueueError
      # The worker has ended: nobody waits for it.
      nil
    end

    def complete
      while (first = @answers.pop)
        answers = [first]
        answers << @answers.pop while answers.size < MAX_ITEMS && !@answers.empty?
        @lock.synchronize { answers.each { |id, _| @cancels.delete(id) } }
        send_all(answers)
      end
      true
    end

    # One answer that cannot be handed over must not keep back the others.
    def send_all(answers)
      @native.complete(answers)
    rescue StandardError => error
      return complain("an answer was lost: #{error.message}") if answers.size == 1

      answers.each { |one| send_all([one]) }
    end
  end
end
