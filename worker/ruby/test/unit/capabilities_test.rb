# frozen_string_literal: true

require_relative "../unit_helper"
require "bigdecimal/util"

# Decisions, batches, HTTP, and events, by the module for tests.
class CapabilitiesTest < UnitTest
  class Route
    include Tasker::Handler
    include Tasker::Decision
    handler "unit_route"

    def call(ctx)
      return choose_none if ctx.context["amount"].zero?

      choose(:manager, "finance", result: ctx.context["amount"])
    end
  end

  class Charge
    include Tasker::Handler
    include Tasker::Api
    handler "unit_charge"

    def call(ctx)
      answer = post("https://pay.example/charges", json: ctx.context, timeout: 10,
                                                   headers: { "X-A" => 1 })
      { receipt: answer.json["id"], key: idempotency_key, status: answer.status,
        type: answer.header("Content-Type") }
    end
  end

  def test_decisions
    assert_equal({ "type" => "decision", "create_steps" => %w[manager finance], "result" => 7 },
                 run_step(Route, context: { amount: 7 }).outcome)
    assert_equal [], run_step(Route, context: { amount: 0 }).outcome["create_steps"]
    run = run_step { |ctx| ctx.choose("a").with_result(1) }
    assert_equal [["a"], 1], run.outcome.values_at("create_steps", "result")
  end

  def test_parts_differ_by_one_at_most
    ends = ->(parts) { parts.map { |part| part["end"] - part["start"] } }
    run_step do |ctx|
      assert_equal [4, 3, 3], ends.call(ctx.split(0...10, 3))
      assert_equal [{ "start" => 5, "end" => 6 }, { "start" => 6, "end" => 7 }], ctx.split(5..6, 9)
      assert_equal [], ctx.split(3...3, 4)
      assert_equal [4, 4, 2], ends.call(ctx.split_by(1..10, 4))
      nil
    end
  end

  def test_batches_of_any_cursors
    run = run_step { |ctx| ctx.batches([0...5, "b"], worker_step: "add", result: 2) }
    assert_equal({ "type" => "batches", "worker_step" => "add", "result" => 2,
                   "cursors" => [{ "start" => 0, "end" => 5 }, "b"] }, run.outcome)
    failed = failure { |ctx| ctx.batches((0..).lazy) }
    assert_equal "invalid_outcome", failed["code"]
  end

  def test_an_instance_has_a_cursor_and_its_last_checkpoint
    work = lambda do |ctx|
      last = ctx.last_checkpoint(Integer)
      from = last ? last.cursor : ctx.cursor(Range).begin
      ctx.checkpoint(from + 1, from, { sum: 1 })
    end
    run = run_step(work, inputs: { start: 3, end: 9 })
    assert_equal({ "type" => "checkpoint", "cursor" => 4, "items_processed" => 3,
                   "accumulated" => { "sum" => 1 } }, run.outcome)
    saved = { cursor: 7, items_processed: 4, accumulated: nil }
    assert_equal 8, run_step(work, inputs: {}, checkpoint: saved).outcome["cursor"]
    assert_match(/step step is no instance of a batch/, failure(&:cursor)["message"])
    assert_match(/missing field `end`/, failure(inputs: { start: 1 }) { |ctx|
      ctx.cursor(Range)
    }["message"])
  end

  def test_pages_of_a_batch
    summary = { instances: 3, complete: 2, failed: 1, results: nil }
    pages = { add: [{ result: 1 }, { state: "error", error: {} }, { result: 5 }] }
    total = lambda do |ctx|
      batch = ctx.batch("add")
      [batch.instances, batch.failed, batch.results,
       batch.each_page(size: 2).sum { |page| page.filter_map(&:result).sum },
       batch.each(Integer).map(&:step)]
    end
    assert_equal [3, 1, nil, 6, %w[add_001 add_002 add_003]],
                 run_step(total, parents: { add: summary }, pages: pages).result
  end

  def test_requests_know_their_step
    http = ->(request) { [201, { "content-type" => "x" }, %({"id":"#{request.json['id']}"})] }
    run = run_step(Charge, context: { id: "r1" }, http: http)
    key = "#{Tasker::Testing::TASK_ID}:step"
    assert_equal({ "receipt" => "r1", "key" => key, "status" => 201, "type" => "x" }, run.result)
    assert_equal [["POST", "https://pay.example/charges", { "X-A" => "1" }]],
                 run.requests.map { |one| [one.method, one.url, one.headers] }
    assert_equal [true, "http_503"],
                 failure(Charge, http: ->(_) { [503] }).values_at("retryable", "code")
    assert_equal [false, "http_404"],
                 failure(Charge, http: ->(_) { [404] }).values_at("retryable", "code")
    assert_equal [false, "invalid_response"],
                 failure(Charge, http: ->(_) { [200, {}, "<"] }).values_at("retryable", "code")
  end

  def test_a_batch_that_cannot_be_says_so
    { ->(ctx) { ctx.checkpoint(1, 1.5) } => "a whole number from 0, not 1.5",
      ->(ctx) { ctx.checkpoint(1, -1) } => "a whole number from 0, not -1",
      ->(ctx) { ctx.checkpoint(1, "1") } => "a whole number from 0, not String",
      ->(ctx) { ctx.checkpoint(1, 2**63) } => "a whole number from 0, not 92",
      ->(ctx) { ctx.batches(nil) } => "the cursors are an Enumerable, as an Array, not NilClass",
      ->(ctx) { ctx.batches([1..]) } => "a range of integers with both ends",
      ->(ctx) { ctx.batches(ctx.split(0...1.5, 2)) } => "a range of integers with both ends",
      ->(ctx) { ctx.split_by(10, 2) } => "a range of integers with both ends" }.each do |work, text|
      assert_includes failure(work)["message"], text
    end
    assert_equal [{ "start" => 5, "end" => 5 }],
                 run_step { |ctx| ctx.batches([5...5]) }.outcome["cursors"]
  end

  def test_what_a_test_says_wrongly
    { "unknown keyword: :contxt" => -> { run_step(contxt: 1) { 1 } },
      "there is neither a handler nor a block" => -> { Tasker::Testing.run } }.each do |text, wrong|
      assert_equal text, assert_raises(ArgumentError) { wrong.call }.message
    end
    run = run_step(http: ->(_) { [200, {}, { id: [1] }] }) { |ctx| ctx.get("http://x").json["id"] }
    assert_equal [1], run.result
    assert_includes failure { |ctx| ctx.get("http://x", timeout: "5") }["message"],
                    "timeout: give seconds as a number"
    assert_includes failure { |ctx| ctx.transaction }["message"], "a transaction has no block"
  end

  def test_a_client_needs_a_connection
    [5, nil].each do |connection|
      next if connection.nil? && defined?(ActiveRecord::Base)

      error = assert_raises(ArgumentError) { Tasker::Client.new(connection).task_status("x") }
      assert_match(/needs a PG::Connection/, error.message)
    end
  end

  def test_events_are_published_with_the_step
    run = run_step { |ctx| ctx.publish("payment.processed", { amount: 1.5r.to_d(2) }) }
    assert_equal [["payment.processed", { "amount" => 1.5 }]],
                 run.events.map { |event| [event.name, event.payload] }
    assert_equal "invalid_result", failure { |ctx| ctx.publish("a.b", Object.new) }["code"]
  end

  def test_a_missing_parent_is_named_with_those_there_are
    failed = failure(parents: { reserve: 1 }) { |ctx| ctx.parent("charge") }
    assert_equal "parents.charge: not a parent of step step (its parents: reserve)",
                 failed["message"]
    failed = failure(is_paged: true) { |ctx| ctx.parent("charge") }
    assert_equal "input_too_large", failed["code"]
  end

  def test_a_step_that_is_to_stop
    run = run_step(cancelled: "timeout") do |ctx|
      assert ctx.cancelled?
      ctx.check_cancelled!
    end
    assert_equal [true, "cancelled"], [run.retryable?, run.code]
    assert_equal [false, nil], run_step { |ctx| [ctx.cancelled?, ctx.check_cancelled!] }.result
  end
end
