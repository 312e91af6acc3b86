# frozen_string_literal: true

require "optparse"
require "rbconfig"
require "pgtasker"

module Tasker
  # The command `pgtasker-worker`.
  # @api private
  class CLI
    # @return [Integer] the exit status
    def self.run(arguments)
      new.run(arguments)
    rescue OptionParser::ParseError, Error => error
      warn "pgtasker-worker: #{error.message}"
      1
    end

    def run(arguments)
      given = arguments.dup
      parse(arguments)
      return Processes.run(given, @processes) if @processes > 1

      load_application
      worker = Tasker.worker
      worker.namespaces |= @namespaces
      worker.concurrency = @concurrency if @concurrency
      Processes.end_with_parent(@parent, worker) if @parent
      worker.run
      0
    end

    private

    def parse(arguments)
      @files = []
      @namespaces = []
      @processes = 1
      options.parse!(arguments)
      return if arguments.empty?

      raise OptionParser::InvalidArgument, "#{arguments.first}: give the program with -r FILE"
    end

    def options
      OptionParser.new do |o|
        o.banner = "Usage: pgtasker-worker [options]\n\nRuns Tasker.worker until SIGTERM or ctrl-c."
        o.on("-r", "--require FILE", "Ruby to load; again for more. Default: " \
                                     "config/environment.rb, where it is there") { |f| @files << f }
        o.on("-n", "--namespace NAME", "serve it; again for more") { |name| @namespaces << name }
        o.on("-c", "--concurrency N", Integer, "steps at once") { |n| @concurrency = n }
        o.on("-p", "--processes N", Integer, "workers, each a process") { |n| @processes = n }
        o.on("--parent FD", Integer, "a pipe whose end is its own") { |fd| @parent = fd }
        o.on("-v", "--version", "its version") do
          puts VERSION
          exit
        end
      end
    end

    def load_application
      files = @files
      files = ["config/environment.rb"] if files.empty? && File.exist?("config/environment.rb")
      raise Error, "nothing to load: give the program with -r FILE" if files.empty?

      files.each { |file| File.exist?(file) ? require(File.expand_path(file)) : require(file) }
      return unless defined?(::Rails.application) && ::Rails.application

      # Handlers register when their files are loaded.
      ::Rails.application.eager_load!
    end

    # Several workers, each in a process of its own: never forked, as threads do not survive that.
    # @api private
    module Processes
      module_function

      # @return [Integer] the first exit status that is not 0
      def run(arguments, count)
        # Ends with this process, also where that is killed: the workers then end, too.
        read, @write = IO.pipe
        command = [RbConfig.ruby, *$LOAD_PATH.map { |path| "-I#{path}" }, $PROGRAM_NAME,
                   *arguments, "--processes", "1", "--parent", read.fileno.to_s]
        pids = Array.new(count) { Process.spawn(*command, read => read) }
        %w[TERM INT].each { |name| Signal.trap(name) { forward(name, pids) } }
        ends = pids.map { |_| Process.wait2 }.map do |_, status|
          # One that ends by itself ends the others: a supervisor starts them together.
          forward("TERM", pids)
          status.exitstatus || (128 + status.termsig)
        end
        ends.find(&:positive?) || 0
      end

      # @param parent [Integer] the file descriptor of the pipe
      def end_with_parent(parent, worker)
        pipe = IO.for_fd(parent)
        pipe.close_on_exec = true
        Thread.new do
          pipe.read
          # It may be about to start.
          sleep Signals::PAUSE until worker.shutdown
        end
      end

      def forward(name, pids)
        pids.each do |pid|
          Process.kill(name, pid)
        rescue Errno::ESRCH
          nil
        end
      end
    end
  end
end
