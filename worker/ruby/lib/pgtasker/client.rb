# frozen_string_literal: true

require "json"
require "time"
require_relative "errors"
require_relative "exact_json"
require_relative "convert"

module Tasker
  # Starts tasks and looks at them, in plain SQL on the application's own connection, and so in its
  # transaction: if that rolls back, the task was never enqueued. Needs no native module.
  #
  #   Tasker::Client.new.enqueue_task("orders", "fulfil", { order_id: 7 })         # ActiveRecord
  #   Tasker::Client.new(conn).enqueue_task("orders", "fulfil", { order_id: 7 })   # PG::Connection
  #
  # The functions and their errors: docs/sql-api.md. Errors are those of the driver; their SQLSTATE
  # is TK001 and the like.
  class Client
    ENQUEUE = <<~SQL
      select tasker.enqueue_task($1::text, $2::text, $3::text::jsonb, $4::text, $5::text::int,
        $6::text::timestamptz, $7::text, $8::text::uuid, $9::text, $10::text::boolean)
    SQL
    ENQUEUE_ALL = <<~SQL
      select tasker.enqueue_tasks($1::text, $2::text, array(
        select c.value from jsonb_array_elements($3::text::jsonb) with ordinality c
        order by c.ordinality))
    SQL
    private_constant :ENQUEUE, :ENQUEUE_ALL

    # @param connection [PG::Connection, Class, Object, nil] an ActiveRecord class or its
    #   connection; nil: ActiveRecord::Base
    def initialize(connection = nil)
      @connection = connection
    end

    # @param namespace [String]
    # @param name [String] of the template
    # @param context any JSON
    # @param version [String, nil] nil: the template's current one
    # @param priority [Integer] a higher one is sent earlier, where steps wait for their turn
    # @param run_at [Time, nil] when it starts; nil: now
    # @param idempotency_key [String, nil] the same key with the same content is the same task
    # @param correlation_id [String, nil] a UUID
    # @param traceparent [String, nil] W3C trace context of the caller
    # @param notify [Boolean, nil] whether an orchestrator is woken up; nil: as the settings say
    # @return [String] the task's UUID
    # @raise [InvalidResult] the context is no JSON
    def enqueue_task(namespace, name, context = {}, version: nil, priority: 0, run_at: nil,
                     idempotency_key: nil, correlation_id: nil, traceparent: nil, notify: nil)
      value(ENQUEUE, [namespace, name, json(context), version, priority, run_at && time(run_at),
                      idempotency_key, correlation_id, traceparent, notify])
    end

    # Starts a task for each context, all or none.
    # @return [Array<String>] the tasks' UUIDs, in order
    def enqueue_tasks(namespace, name, contexts)
      all = "[#{contexts.map { |one| json(one) }.join(',')}]"
      rows(ENQUEUE_ALL, [namespace, name, all]).map(&:first)
    end

    # @return [Hash] "state", "steps" counted by state, "error", times
    def task_status(task_id)
      document("select tasker.task_status($1::text::uuid)::text", [task_id])
    end

    # @return the task's input
    def task_context(task_id)
      document("select tasker.task_context($1::text::uuid)::text", [task_id])
    end

    # @return [Hash, nil] results of the leaf steps by name; nil until it is complete
    def task_result(task_id)
      document("select tasker.task_result($1::text::uuid)::text", [task_id])
    end

    # @return [Boolean] false: it had already finished
    def cancel_task(task_id, reason, by = nil)
      sql = "select tasker.cancel_task($1::text::uuid, $2::text, $3::text)::text"
      value(sql, [task_id, reason, by]) == "true"
    end

    # Applies a template; the same content again changes nothing.
    # @param definition [Hash] as the YAML has it
    # @return [Boolean] whether it is new
    def apply_template(definition, by = nil)
      sql = "select created::text from tasker.apply_template($1::text::jsonb, $2::text)"
      value(sql, [json(definition), by]) == "true"
    end

    private

    def json(value) = ExactJson.generate(value, "the task's context")

    def time(value) = value.respond_to?(:xmlschema) ? Convert.iso8601(value) : value

    def document(sql, parameters)
      text = value(sql, parameters)
      text && ExactJson.parse(text)
    end

    def value(sql, parameters) = rows(sql, parameters).first&.first

    # All parameters and all columns are text, whatever the connection's type maps.
    def rows(sql, parameters)
      parameters = parameters.map { |one| one.nil? ? nil : one.to_s }
      pg.exec_params(sql, parameters).values
    end

    def pg
      connection = @connection || (defined?(::ActiveRecord::Base) && ::ActiveRecord::Base)
      connection = connection.connection if connection.respond_to?(:connection)
      connection = connection.raw_connection if connection.respond_to?(:raw_connection)
      return connection if connection.respond_to?(:exec_params)

      raise ArgumentError, "Tasker::Client.new needs a PG::Connection, or ActiveRecord on " \
                           "PostgreSQL"
    end
  end
end
