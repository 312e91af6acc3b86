# frozen_string_literal: true

require "minitest/autorun"
require "pg"
require "securerandom"
require "stringio"
require "pgtasker"
require_relative "support/server"

# A test with a database, a namespace of its own, and workers in this process.
class ServerTest < Minitest::Test
  SOON = 30

  attr_reader :db, :namespace, :log

  def setup
    @db = PG.connect(Server.url)
    @namespace = "t_#{SecureRandom.hex(6)}"
    @log = StringIO.new
    @stops = []
  end

  def teardown
    @stops.reverse_each(&:call)
    db.close
  end

  def client = @client ||= Tasker::Client.new(db)

  # Applies a template with these steps.
  def apply(*steps, name: "flow", **more)
    steps = steps.map { |step| { retry: { max_attempts: 2, backoff_base_ms: 10 }, **step } }
    client.apply_template({ namespace: namespace, name: name, version: "1", steps: steps, **more })
  end

  # One step with this handler.
  def apply_one(handler, **more)
    apply({ name: "only", handler: { callable: handler }, **more })
  end

  def enqueue(context = {}, name: "flow", **more)
    client.enqueue_task(namespace, name, context, **more)
  end

  # Starts a worker; the block registers its handlers.
  def work(handlers: [], **options)
    worker = Tasker::Worker.new(namespaces: [namespace], database_url: Server.url,
                                handlers: handlers, logger: Logger.new(log), **options)
    yield worker if block_given?
    worker.start
    @stops << -> { worker.stop }
    worker
  end

  def eventually(what, within: SOON)
    give_up = now + within
    until (found = yield)
      flunk("waited #{within} s for #{what}\n#{log.string}") if now > give_up
      sleep 0.01
    end
    found
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # The task's state, once it has ended.
  def ended(task, within: SOON)
    eventually("task #{task}", within: within) do
      state = client.task_status(task)["state"]
      state if %w[complete error cancelled blocked_by_failures].include?(state)
    end
  end

  def result(task, within: SOON)
    assert_equal "complete", ended(task, within: within), steps(task).inspect
    client.task_result(task)
  end

  # Runs a task of one step and returns its result.
  def result_of(context = {}) = result(enqueue(context))["only"]

  # Runs a task of one step that fails, and returns the error of the step.
  def failure_of(context = {})
    task = enqueue(context)
    refute_equal "complete", ended(task)
    step(task)["error"]
  end

  def step(task, name = "only") = steps(task).fetch(name)

  def steps(task)
    rows = db.exec_params("select to_jsonb(s) from tasker.steps s where task_id = $1", [task])
    rows.column_values(0).map { |row| JSON.parse(row) }.to_h { |row| [row["name"], row] }
  end
end
