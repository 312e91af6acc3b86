# frozen_string_literal: true

require "active_job"
require "zlib"
require "pgtasker"

module Tasker
  # ActiveJob's adapter: `config.active_job.queue_adapter = :tasker`. Each job is a task of one
  # step, enqueued on ActiveRecord's connection and so in the caller's transaction. Workers run it
  # by the handler `active_job`.
  #
  # Each queue is a template, which is applied by the first job of the process in it; that needs the
  # role tasker_operator. `retry_on` and `discard_on` work as ever. An error that they leave fails
  # the step, which the template then tries again.
  module ActiveJobTemplates
    # The namespace of all jobs; workers serve it like any other.
    NAMESPACE = "active_job"
    @applied = {}
    @lock = Mutex.new

    class << self
      # How often a job is run whose error no `retry_on` takes; 3.
      # @param count [Integer]
      attr_writer :max_attempts

      # @return [Integer]
      def max_attempts = @max_attempts || 3

      # @param queue [String]
      # @return [String] the name of its template
      def name(queue)
        plain = queue.downcase.gsub(/[^a-z0-9_]/, "_")
        return plain if plain == queue && plain.match?(/\A[a-z]/)

        # Two queues must not become one template.
        "q_#{plain}_#{Zlib.crc32(queue).to_s(36)}"
      end

      # Applies the queue's template, once in a process.
      # @return [String] its name
      def apply(queue)
        @lock.synchronize do
          @applied[queue] ||= name(queue).tap { |name| apply_now(definition(queue, name)) }
        end
      end

      # @return [Hash]
      def definition(queue, name)
        step = { name: "perform", handler: { callable: "active_job" },
                 retry: { max_attempts: max_attempts } }
        # A version never changes once it was applied, and there is no other setting.
        { namespace: NAMESPACE, name: name, version: "1.0.#{max_attempts}",
          description: "Jobs of the queue #{queue}", steps: [step] }
      end

      # For tests.
      # @api private
      def forget = @lock.synchronize { @applied.clear }

      private

      # On a connection of its own: the caller's transaction may roll back.
      def apply_now(definition)
        Thread.new do
          ::ActiveRecord::Base.connection_pool.with_connection do |connection|
            Client.new(connection).apply_template(definition, "active_job")
          end
        end.tap { |thread| thread.report_on_exception = false }.value
      end
    end
  end

  # Runs jobs.
  class ActiveJobHandler
    include Tasker::Handler
    handler "active_job"

    def call(ctx)
      # The job could not know it when it was enqueued.
      ::ActiveJob::Base.execute(ctx.context.merge("provider_job_id" => ctx.task_id))
      # What a job returns is of no use to anybody, and may be no JSON.
      nil
    end
  end
end

module ActiveJob
  module QueueAdapters
    # See Tasker::ActiveJobTemplates.
    class TaskerAdapter
      # @param job [ActiveJob::Base]
      def enqueue(job) = start(job, nil)

      # @param job [ActiveJob::Base]
      # @param timestamp [Float] seconds since 1970
      def enqueue_at(job, timestamp) = start(job, Time.at(timestamp))

      # The job is a row of the same database: it commits with the rest.
      def enqueue_after_transaction_commit? = false

      private

      def start(job, run_at)
        template = Tasker::ActiveJobTemplates.apply(job.queue_name)
        namespace = Tasker::ActiveJobTemplates::NAMESPACE
        job.provider_job_id = Tasker::Client.new.enqueue_task(
          namespace, template, job.serialize, run_at: run_at, priority: job.priority || 0
        )
      end
    end
  end
end
