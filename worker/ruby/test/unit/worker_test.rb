# frozen_string_literal: true

require_relative "../unit_helper"
# Its methods of all objects are no handlers.
require "active_support/core_ext/object/json"
require "minitest/mock"
require "timeout"

# A worker whose native part is the test's own.
class WorkerTest < UnitTest
  def setup
    @native = FakeNative.new
    @log = StringIO.new
  end

  def teardown
    @worker&.stop
  end

  def start(**options)
    settings = { namespaces: ["test"], handlers: [], logger: Logger.new(@log), **options }
    @worker = Tasker::Worker.new(**settings)
    yield @worker if block_given?
    Tasker::NativeLoader.stub(:native, @native) { @worker.start }
    @worker
  end

  class Payments
    include Tasker::Handler
    include Tasker::Api
    callable "unit_payments"

    def call(_ctx) = "called"
    def refund(ctx) = [ctx.handler, tasker_context.step]

    private

    def secret(_ctx) = 1
  end

  class Paged
    include Tasker::Handler
    handler "unit_paged", paged: true

    def call(ctx) = ctx.each_parent_page.to_a
  end

  def test_the_options_name_what_the_worker_has
    start(handlers: [Payments, Paged], concurrency: 8, lease: 1.5, grace: 2) do |worker|
      worker.handler("block") { 1 }
      worker.publisher("a.*") { |event| event }
      worker.subscribe("b.*") { nil }
    end
    assert_equal({ "namespaces" => ["test"], "concurrency" => 8, "lease_ms" => 1500,
                   "grace_ms" => 2000, "resolver" => false, "publishers" => ["a.*"],
                   "handlers" => %w[unit_payments unit_payments.refund block],
                   "paged_handlers" => ["unit_paged"], "subscriptions" => ["b.*"] },
                 @native.options)
  end

  def test_a_class_an_object_and_a_block_run_steps
    shared = Class.new do
      include Tasker::Api

      def call(_ctx) = idempotency_key
    end
    start(handlers: [Payments]) do |worker|
      worker.handler("block") { |ctx| { "echo" => ctx.context } }
      worker.handler("shared", shared.new)
      worker.handler("made", shared)
      worker.callable("object", shared.new)
    end
    @native.step(1, "unit_payments.refund")
    @native.step(2, "unit_payments")
    @native.step(3, "block", context: { a: 1 })
    %w[shared made object].each.with_index(4) { |name, id| @native.step(id, name) }
    assert_equal ["unit_payments.refund", "s"], @native.answer(1)["result"]
    assert_equal "called", @native.answer(2)["result"]
    assert_equal({ "echo" => { "a" => 1 } }, @native.answer(3)["result"])
    (4..6).each { |id| assert_equal "t:s", @native.answer(id)["result"] }
  end

  def test_names_that_it_lacks_go_elsewhere
    start do |worker|
      worker.resolver { |name| name == "known" ? ->(_ctx) { "resolved" } : nil }
    end
    @native.step(1, "known")
    @native.step(2, "unknown")
    assert_equal "resolved", @native.answer(1)["result"]
    assert_equal({ "type" => "release" }, @native.answer(2))
  end

  def test_steps_run_side_by_side_on_threads_made_as_needed
    gate = Queue.new
    start { |worker| worker.handler("wait") { gate.pop } }
    64.times { |id| @native.step(id + 1, "wait") }
    eventually("64 handlers to wait") { gate.num_waiting == 64 }
    64.times { gate << 1 }
    64.times { |id| assert_equal 1, @native.answer(id + 1)["result"] }
    gate << 1
    @native.step(65, "wait")
    assert_equal 1, @native.answer(65)["result"]
    assert_equal 64, @worker.instance_variable_get(:@runtime).threads
  end

  def test_a_cancel_reaches_its_handler
    start do |worker|
      worker.handler("wait") do |ctx|
        sleep 0.001 until ctx.cancelled?
        ctx.check_cancelled!
      end
    end
    @native.step(1, "wait")
    @native.put({ type: "cancel", id: 1, why: "timeout" })
    answer = @native.answer(1)
    assert_equal ["the step was asked to stop: timeout", "cancelled"],
                 answer.values_at("message", "code")
  end

  def test_whatever_goes_wrong_is_the_steps_own_failure
    start do |worker|
      worker.handler("exit") { Thread.exit }
      worker.handler("fine") { "fine" }
    end
    @native.step(1, "exit")
    @native.put({ type: "what", id: 3 })
    @native.put({ odd: 1 })
    assert_equal "the handler ended its thread", @native.answer(1)["message"]
    assert_match(/knows an item what/, @native.answer(3)["message"])
    @native.step(4, "fine")
    assert_equal "fine", @native.answer(4)["result"]
  end

  def test_publishers_change_and_keep_back
    start do |worker|
      worker.publisher("pay.*") do |event, ctx|
        next if event.payload.zero?
        raise "no" if event.payload == 13

        Thread.exit if event.payload == 99
        event.payload = [event.payload, ctx.attempt]
        event.metadata = { name: event.name }
        event.payload.first == 7 ? 1 : event
      end
    end
    step = { task_id: "t", step: "s", handler: "h", attempt: 2, parents: {} }
    [5, 0, 13, 7, 99].each.with_index(1) do |payload, id|
      @native.put({ type: "publication", id: id, pattern: "pay.*", name: "pay.ed",
                    payload: payload, metadata: {}, step: step })
    end
    assert_equal({ "payload" => [5, 2], "metadata" => { "name" => "pay.ed" } }, @native.answer(1))
    assert_nil @native.answer(2)
    assert_match(/\ARuntimeError: no \(/, @native.answer(3)["error"])
    assert_match(/returns the event or nil, not Integer/, @native.answer(4)["error"])
    assert_equal({ "error" => "the handler ended its thread" }, @native.answer(5))
    # An event that cannot be read.
    @native.put({ type: "publication", id: 6, pattern: "pay.*" })
    assert_equal ["error"], @native.answer(6).keys
  end

  def test_subscribers_get_events_in_order_and_survive_their_errors
    heard = Queue.new
    start do |worker|
      worker.subscribe("a.*") do |event|
        heard << event.payload
        raise "no" if event.payload == 1
      end
    end
    3.times { |n| @native.put({ type: "event", pattern: "a.*", event: { id: "e", payload: n } }) }
    assert_equal [0, 1, 2], Array.new(3) { heard.pop }
    assert_match(/the subscriber of a\.\*: RuntimeError: no/, @log.string)
  end

  def test_lines_of_the_log_go_to_the_logger
    start { |worker| worker.handler("log") { |ctx| ctx.logger.info("charging") } }
    @native.put({ type: "log", level: "WARN", target: "pgtasker", message: "slow",
                  fields: { step: "s" } })
    @native.step(1, "log")
    @native.answer(1)
    eventually("the line") { @log.string.include?("slow") }
    assert_match(/WARN -- pgtasker: slow step=s/, @log.string)
    assert_match(/INFO -- : charging task_id=t step=s/, @log.string)
  end

  def test_a_logger_that_fails_ends_nothing
    logger = Object.new
    def logger.level = 0
    def logger.add(*) = raise("no log")
    def logger.error(*) = raise("no log")
    _, said = capture_io do
      start(logger: logger) { |worker| worker.handler("fine") { "fine" } }
      @native.put({ type: "log", level: "WARN", target: "t", message: "m" })
      @native.put({ type: "unheard of" })
      eventually("the lines") { $stderr.string.lines.size == 2 }
      @native.step(1, "fine")
      assert_equal "fine", @native.answer(1)["result"]
    end
    assert_match(/an item was lost: RuntimeError: no log/, said)
  end

  def test_what_a_step_asks_may_fail_it
    start { |worker| worker.handler("get") { |ctx| ctx.get("http://x").status } }
    error = { message: "gone", retryable: true, code: "http_503", retry_after_ms: 1500 }
    @native.replies["http"] = JSON.generate({ error: error })
    @native.step(1, "get")
    assert_equal({ "type" => "failure", "message" => "gone", "retryable" => true,
                   "code" => "http_503", "retry_after_ms" => 1500 }, @native.answer(1))
    assert_equal [1, "http"], @native.asked.pop.first(2)
  end

  # What the gem opentelemetry-api has.
  module Telemetry
    module Context
      def self.with_current(parent)
        Thread.current[:trace] = parent
        yield
      end
    end

    def self.propagation = self
    def self.extract(carrier) = carrier
  end

  def test_the_callers_trace_goes_on
    Object.const_set(:OpenTelemetry, Telemetry)
    start { |worker| worker.handler("trace") { Thread.current[:trace] } }
    @native.step(1, "trace", traceparent: "00-a-b-01")
    assert_equal({ "traceparent" => "00-a-b-01" }, @native.answer(1)["result"])
  ensure
    Object.send(:remove_const, :OpenTelemetry)
  end

  def test_a_name_has_one_handler
    worker = Tasker::Worker.new(handlers: [])
    worker.handler("a") { 1 }
    [-> { worker.handler("a") { 2 } }, -> { worker.handler("b") },
     -> { worker.handler("c", Object.new) },
     -> { Paged.callable("unit_payments") }].each do |wrong|
      assert_raises(ArgumentError) { wrong.call }
    end
  end

  def test_what_cannot_start_says_why
    @native.fails_with = "options: unknown"
    error = assert_raises(Tasker::StartError) { start }
    assert_equal "options: unknown", error.message
    refute @worker.running?
  end

  # What ends a wait, but not the worker.
  class Late < RuntimeError; end

  def test_a_wait_that_is_interrupted_forgets_nothing
    consumer = Tasker::Consumer.new(namespace: "test", logger: Logger.new(@log)) { 1 }
    Tasker::NativeLoader.stub(:native, FakeNative.new) { consumer.start }
    start { |worker| worker.handler("fine") { "fine" } }
    [Interrupt, Late, RuntimeError].each do |error|
      [@worker, consumer].each do |one|
        waiting = Thread.new { one.wait }
        waiting.report_on_exception = false
        eventually("the wait") { waiting.stop? }
        waiting.raise(error, "enough")
        assert_equal error, assert_raises(error) { waiting.value }.class
        assert_equal false, one.wait(0)
      end
    end
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { @worker.wait } }
    assert @worker.running?
    assert consumer.shutdown
    assert consumer.wait
    @worker.stop
    refute @worker.running?
  end

  def test_a_worker_that_ends_by_itself_says_why
    start
    @native.ends_with = "the database is gone"
    @native.shutdown
    error = assert_raises(Tasker::StartError) { @worker.wait }
    assert_equal "the database is gone", error.message
    refute @worker.running?
  end

  def test_a_fork_says_so
    start
    read, write = IO.pipe
    pid = fork do
      begin
        @worker.stop
      rescue Tasker::StartError => error
        write.write(error.message)
      end
      exit!
    end
    write.close
    Process.wait(pid)
    assert_match(/started in process \d+, and its threads are not in its fork/, read.read)
  end

  def test_a_consumer_answers_events
    consumer = Tasker::Consumer.new(namespace: "test", visible: 2, logger: Logger.new(@log)) do |e|
      raise Tasker::PermanentError, "never" if e.name == "bad"

      e.payload.fetch("a")
    end
    Tasker::NativeLoader.stub(:native, @native) { consumer.start }
    assert_equal({ "namespace" => "test", "visible_ms" => 2000 }, @native.options)
    event = { id: "e", name: "good", payload: { a: 1 } }
    @native.put({ type: "domain_event", id: 1, event: event })
    @native.put({ type: "domain_event", id: 2, event: event.merge(name: "bad") })
    @native.put({ type: "domain_event", id: 3, event: event.merge(payload: {}) })
    assert_equal({ "type" => "success" }, @native.answer(1))
    assert_equal [false, "never"], @native.answer(2).values_at("retryable", "message")
    assert @native.answer(3)["retryable"]
  ensure
    consumer.stop
  end
end
