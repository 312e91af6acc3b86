# frozen_string_literal: true

require "optparse"
require_relative "errors"
require_relative "version"

module Tasker
  # The command `pgtasker-worker`. It leaves it to the program to load the gem: in a Rails
  # application the gem has to come after Rails, of which it is a part there.
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
      return processes.run(given, @processes) if @processes > 1

      load_application
      require "pgtasker"
      worker = Tasker.worker
      configure(worker)
      processes.end_with_parent(@parent, worker) if @parent
      worker.run
      0
    end

    private

    def processes
      require_relative "processes"
      Processes
    end

    # What is said here goes before the variables, which go before what the program says.
    def configure(worker)
      if worker.is_a?(Consumer) && (@concurrency || @namespaces.any?)
        raise Error, "-n and -c are for workers: say them where the consumer is made"
      end
      unless @namespaces.empty?
        worker.namespaces |= @namespaces
        ENV.delete("TASKER_WORKER_NAMESPACE")
      end
      return unless @concurrency

      worker.concurrency = @concurrency
      ENV.delete("TASKER_WORKER_CONCURRENCY")
    end

    def parse(arguments)
      @files = []
      @namespaces = []
      @processes = 1
      options.parse!(arguments)
      unless arguments.empty?
        raise OptionParser::InvalidArgument, "#{arguments.first}: give the program with -r FILE"
      end
      return if @processes.positive?

      raise OptionParser::InvalidArgument, "--processes #{@processes}: give a number from 1"
    end

    def options
      OptionParser.new do |o|
        o.banner = "Usage: pgtasker-worker [options]\n\nRuns Tasker.worker until SIGTERM or ctrl-c."
        o.on("-r", "--require FILE", "Ruby to load; again for more. Default: " \
                                     "config/environment.rb, where it is there") { |f| @files << f }
        o.on("-n", "--namespace NAME", "serve it; again for more") { |name| @namespaces << name }
        o.on("-c", "--concurrency N", Integer, "steps at once") { |n| @concurrency = n }
        o.on("-p", "--processes N", Integer, "workers, each a process; the port of " \
                                             "TASKER_WORKER_METRICS counts up") do |n|
          @processes = n
        end
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

      files.each { |file| load_file(file) }
      return unless defined?(::Rails.application) && ::Rails.application

      # Handlers register when their files are loaded.
      ::Rails.application.eager_load!
    end

    def load_file(file)
      require(File.exist?(file) ? File.expand_path(file) : file)
    rescue LoadError => error
      # Of the program's own `require` the place counts.
      raise unless error.path == file

      raise Error, "-r #{file}: there is no such file"
    end
  end
end
