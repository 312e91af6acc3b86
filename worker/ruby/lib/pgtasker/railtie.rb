# frozen_string_literal: true

require "rails/railtie"

module Tasker
  # Fits workers into a Rails application: code is reloaded between steps, each thread gives its
  # connection back after a step, and lines of the log go to Rails' logger.
  #
  # Settings, in config/application.rb: `config.tasker.namespaces = ["orders"]`, and
  # `config.tasker.concurrency = 16`.
  class Railtie < ::Rails::Railtie
    config.tasker = ActiveSupport::OrderedOptions.new

    initializer "tasker.worker" do |app|
      Tasker.logger = ::Rails.logger if ::Rails.logger
      # The executor, which gives connections back, is part of it.
      Tasker.around = ->(&step) { app.reloader.wrap(&step) }
      worker = Tasker.worker
      worker.namespaces |= Array(app.config.tasker.namespaces).map(&:to_s)
      worker.concurrency ||= app.config.tasker.concurrency
      worker.before_start { Railtie.check_pool(worker) }
    end

    initializer "tasker.active_job", before: "active_job.set_configs" do
      ActiveSupport.on_load(:active_job) { require "pgtasker/active_job" }
    end

    # Says so where handlers would wait for connections.
    # @api private
    def self.check_pool(worker)
      return unless defined?(::ActiveRecord::Base)

      size = ::ActiveRecord::Base.connection_pool.size
      # The variable goes before what the application says.
      steps = Integer(ENV.fetch("TASKER_WORKER_CONCURRENCY", ""), exception: false) ||
              worker.concurrency || 64
      return if size >= steps

      Tasker.logger.warn(
        "ActiveRecord's pool has #{size} connections for #{steps} steps at once: set `pool: " \
        "#{steps}` in config/database.yml, or a lower concurrency"
      )
    end
  end
end
