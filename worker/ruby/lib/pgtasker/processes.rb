# frozen_string_literal: true

require "pgtasker"
require "rbconfig"

module Tasker
  # Several workers, each in a process of its own: never forked, as threads do not survive that. One
  # that dies is started again, later each time in a row.
  # @api private
  class Processes
    # Seconds until a process that has died is started again; twice as long each time in a row.
    FIRST_DELAY = 1.0
    LONGEST_DELAY = 60.0
    # Seconds after which a process counts as having worked.
    LIVED = 60.0
    LOOK = 0.1
    METRICS = "TASKER_WORKER_METRICS"

    # Without a pid it does not run; only what has not been reaped has one.
    One = ::Struct.new(:number, :pid, :started, :starts_at, :delay, :status)

    # @param arguments [Array<String>] of `pgtasker-worker`, which each gets too
    # @return [Integer] the exit status
    def self.run(arguments, count)
      # Ends with this process, also where that is killed: the workers then end, too.
      read, write = IO.pipe
      command = [RbConfig.ruby, *$LOAD_PATH.map { |path| "-I#{path}" }, $PROGRAM_NAME,
                 *arguments, "--processes", "1", "--parent", read.fileno.to_s]
      new(command, count, { read => read }).run
    ensure
      write&.close
    end

    # @param parent [Integer] the file descriptor of that pipe
    def self.end_with_parent(parent, worker)
      pipe = IO.for_fd(parent)
      pipe.close_on_exec = true
      Thread.new do
        pipe.read
        # It may be about to start.
        sleep Signals::PAUSE until worker.shutdown
      end
    end

    # @param number [Integer] from 0
    # @return [Hash] variables of this process: the port of its metrics is one of its own
    def self.environment(number, variables = ENV)
      address, _, port = variables[METRICS].to_s.rpartition(":")
      return {} unless !address.empty? && port.match?(/\A[1-9]\d*\z/)

      { METRICS => "#{address}:#{port.to_i + number}" }
    end

    # @param command [Array<String>]
    # @param options [Hash] of Process.spawn
    def initialize(command, count, options = {}, first_delay: FIRST_DELAY)
      @command = command
      # In a group of its own: ctrl-c of a terminal would reach it twice.
      @options = { pgroup: true, **options }
      @first_delay = first_delay
      @all = Array.new(count) { |number| One.new(number, nil, 0.0, 0.0, first_delay, nil) }
      @signals = 0
    end

    # Until SIGTERM or ctrl-c, which ends all processes; the second one ends them at once.
    # @return [Integer] 1: one of them has ended otherwise
    def run
      before = Signals::NAMES.to_h { |name| [name, Signal.trap(name) { @signals += 1 }] }
      while @signals.zero?
        @all.each { |one| look(one) }
        sleep LOOK
      end
      stop
      @all.all? { |one| fine?(one.status) } ? 0 : 1
    ensure
      before&.each { |name, old| Signal.trap(name, old || "DEFAULT") }
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def look(one)
      return died(one) if one.pid && ended?(one)
      return if one.pid || now < one.starts_at

      one.started = now
      one.pid = Process.spawn(self.class.environment(one.number), *@command, @options)
    rescue SystemCallError => error
      again(one, "could not be started: #{error.message}")
    end

    # Reaps it: its pid may then be that of another.
    def ended?(one)
      _, status = Process.wait2(one.pid, Process::WNOHANG)
      return false unless status

      one.pid = nil
      one.status = status
      true
    end

    def died(one)
      one.delay = @first_delay if now - one.started > LIVED
      status = one.status
      # What comes of the next one is what counts.
      one.status = nil
      again(one, "has ended with #{status.exitstatus || "signal #{status.termsig}"}")
    end

    def again(one, what)
      Tasker.logger.error("process #{one.number} #{what}: started again in #{one.delay.round} s")
      one.starts_at = now + one.delay
      one.delay = [2 * one.delay, LONGEST_DELAY].min
    end

    # Signals are sent here only, and so never to a pid that was reaped.
    def stop
      sent = 0
      until (running = @all.select(&:pid)).empty?
        if @signals > sent
          sent = @signals
          running.each { |one| Process.kill(sent == 1 ? "TERM" : "KILL", one.pid) }
        end
        running.each { |one| ended?(one) }
        sleep LOOK if @all.any?(&:pid)
      end
    end

    # It may have had no time for a handler of the signal; nil: it did not run.
    def fine?(status)
      status.nil? || status.success? || status.termsig == Signal.list["TERM"]
    end
  end
end
