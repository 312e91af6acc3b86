# frozen_string_literal: true

require_relative "../server_helper"
require "active_record"

# Enqueueing in plain SQL, in the caller's transaction.
class ClientTest < ServerTest
  def setup
    super
    apply({ name: "only", handler: { callable: "noop" } })
  end

  def test_a_task_is_enqueued_with_all_its_data
    id = SecureRandom.uuid
    context = { n: 10**30, d: BigDecimal("0.1234567890123456789012345"), t: Time.at(0).utc }
    task = enqueue(context, priority: 3, run_at: Time.now + 3600, idempotency_key: "k",
                            correlation_id: id, version: "1", notify: false,
                            traceparent: "00-#{'a' * 32}-#{'b' * 16}-01")
    assert_equal context.merge(t: "1970-01-01T00:00:00Z").transform_keys(&:to_s),
                 client.task_context(task)
    row = db.exec_params("select priority, correlation_id, run_at > now() + '50 min' as later " \
                         "from tasker.tasks where task_id = $1", [task]).first
    assert_equal({ "priority" => "3", "correlation_id" => id, "later" => "t" }, row)
    assert_equal "00-#{'a' * 32}-#{'b' * 16}-01",
                 db.exec_params("select traceparent from tasker.tasks where task_id = $1",
                                [task]).getvalue(0, 0)
  end

  def test_the_same_key_is_the_same_task
    assert_equal enqueue({}, idempotency_key: "k"), enqueue({}, idempotency_key: "k")
    error = assert_raises(PG::Error) { enqueue({ a: 1 }, idempotency_key: "k") }
    assert_equal "TK006", error.result.error_field(PG::PG_DIAG_SQLSTATE)
  end

  def test_a_rolled_back_task_was_never_enqueued
    task = nil
    assert_raises(RuntimeError) do
      db.transaction do
        task = enqueue
        raise "no"
      end
    end
    error = assert_raises(PG::Error) { client.task_status(task) }
    assert_match(/TK\d+/, error.result.error_field(PG::PG_DIAG_SQLSTATE))
  end

  def test_many_at_once_and_cancelled
    tasks = client.enqueue_tasks(namespace, "flow", [{ n: 1 }, { n: 2 }])
    assert_equal([1, 2], tasks.map { |task| client.task_context(task)["n"] })
    assert_equal [true, false], Array.new(2) { client.cancel_task(tasks.first, "enough", "test") }
    assert_nil client.task_result(tasks.last)
  end

  def test_a_context_that_is_no_json_names_its_place
    error = assert_raises(Tasker::InvalidResult) { enqueue({ a: [Float::NAN] }) }
    assert_equal "the task's context cannot be stored: NaN is no number in JSON, at /a/0",
                 error.message
  end

  def test_active_record_enqueues_in_its_transaction
    ActiveRecord::Base.establish_connection(Server.url)
    tasks = Tasker::Client.new
    kept = lost = nil
    ActiveRecord::Base.transaction { kept = tasks.enqueue_task(namespace, "flow", { a: 1 }) }
    ActiveRecord::Base.transaction do
      lost = tasks.enqueue_task(namespace, "flow")
      raise ActiveRecord::Rollback
    end
    assert_equal({ "a" => 1 }, Tasker::Client.new(ActiveRecord::Base).task_context(kept))
    assert_raises(PG::Error) { client.task_status(lost) }
  ensure
    ActiveRecord::Base.remove_connection
  end
end
