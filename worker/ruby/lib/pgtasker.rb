# frozen_string_literal: true

# Tasker: workflows in PostgreSQL, with handlers in Ruby.
#
# Loads no native code: that is loaded by Tasker::Worker#start. A process that only enqueues needs
# nothing but Tasker::Client.
module Tasker
  @around = nil

  class << self
    # @return [Logger] where workers log to; standard error if it was not set.
    def logger
      @logger ||= begin
        require "logger"
        Logger.new($stderr, progname: "tasker", level: Logger::INFO)
      end
    end

    # @param [Logger] logger
    attr_writer :logger

    # What runs around each step, publisher, and event: an object with `call`, which is given a
    # block. The Railtie sets it to Rails' reloader.
    attr_accessor :around

    # The worker of this process, which `pgtasker-worker` runs.
    # @return [Tasker::Worker]
    def worker
      @worker ||= Worker.new
    end

    # A worker made instead of the default one, or a consumer.
    # @param [Tasker::Worker, Tasker::Consumer] worker
    attr_writer :worker
  end
end

require_relative "pgtasker/version"
require_relative "pgtasker/errors"
require_relative "pgtasker/exact_json"
require_relative "pgtasker/convert"
require_relative "pgtasker/discreet"
require_relative "pgtasker/outcome"
require_relative "pgtasker/in_step"
require_relative "pgtasker/decision"
require_relative "pgtasker/batchable"
require_relative "pgtasker/api"
require_relative "pgtasker/transaction"
require_relative "pgtasker/step_logger"
require_relative "pgtasker/context"
require_relative "pgtasker/handler"
require_relative "pgtasker/events"
require_relative "pgtasker/connections"
require_relative "pgtasker/runner"
require_relative "pgtasker/threads"
require_relative "pgtasker/runtime"
require_relative "pgtasker/native"
require_relative "pgtasker/signals"
require_relative "pgtasker/program"
require_relative "pgtasker/worker"
require_relative "pgtasker/consumer"
require_relative "pgtasker/client"
require_relative "pgtasker/active_job" if defined?(ActiveJob)
require_relative "pgtasker/railtie" if defined?(Rails::Railtie)
