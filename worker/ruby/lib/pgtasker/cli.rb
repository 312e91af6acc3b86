# frozen_string_literal: true

require "optparse"
require "pgtasker"
require_relative "processes"

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
        o.on("-p", "--processes N", Integer, "workers, each a process; the port of " \
                                             "#{Processes::METRICS} counts up") do |n|
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

      files.each { |file| File.exist?(file) ? require(File.expand_path(file)) : require(file) }
      return unless defined?(::Rails.application) && ::Rails.application

      # Handlers register when their files are loaded.
      ::Rails.application.eager_load!
    end
  end
end
