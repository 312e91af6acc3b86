# frozen_string_literal: true

require_relative "../unit_helper"
require "minitest/mock"

# Whatever ends threads of this process, a worker works on, or ends and says why.
class EndingsTest < UnitTest
  def setup
    @native = FakeNative.new
    @log = StringIO.new
  end

  def teardown
    @worker&.stop
  rescue Tasker::StartError
    nil
  end

  def start(logger: Logger.new(@log))
    @worker = Tasker::Worker.new(namespaces: ["test"], handlers: [], logger: logger)
    @worker.handler("fine") { "fine" }
    yield @worker if block_given?
    Tasker::NativeLoader.stub(:native, @native) { @worker.start }
  end

  def assert_works(id)
    @native.step(id, "fine")
    assert_equal "fine", @native.answer(id)["result"]
  end

  def thread(name) = Thread.list.find { |one| one.name == name }

  def test_a_logger_that_raises_what_is_no_standard_error
    logger = Object.new
    def logger.level = 0
    def logger.add(*) = raise(NotImplementedError, "no log")
    def logger.error(*) = raise(NotImplementedError, "no log")
    _, said = capture_io do
      start(logger: logger)
      @native.put({ type: "log", level: "WARN", target: "t", message: "m" })
      eventually("the line") { $stderr.string.include?("\n") }
      assert_works(1)
    end
    assert_match(/an item was lost: NotImplementedError: no log/, said)
  end

  def test_a_subscriber_that_ends_its_thread_gets_the_next_event
    heard = Queue.new
    start do |worker|
      worker.subscribe("a.*") do |event|
        heard << event.payload
        Thread.exit if event.payload.zero?
        Thread.current.kill if event.payload == 1
      end
    end
    3.times { |n| @native.put({ type: "event", pattern: "a.*", event: { id: "e", payload: n } }) }
    eventually("all of them") { heard.size == 3 }
    assert_equal [0, 1, 2], Array.new(3) { heard.pop }
    assert_match(/the subscriber of a\.\*: the handler ended its thread/, @log.string)
  end

  def test_a_worker_without_its_threads_ends_and_says_why
    ["tasker poll", "tasker complete"].each do |name|
      @native = FakeNative.new
      start
      assert_works(1)
      thread(name).kill
      waiting = Thread.new { @worker.wait(5) }
      waiting.report_on_exception = false
      error = assert_raises(Tasker::StartError) { waiting.value }
      assert_match(/has ended the thread `#{name}`/, error.message)
      assert_match(/has ended the thread `#{name}`/, @log.string)
      refute @worker.running?
    end
  end

  def test_an_error_that_somebody_raises_in_idle_threads_ends_no_stop
    start
    assert_works(1)
    Thread.list.each { |one| one.raise("boo") if one.name == "tasker handler" }
    assert_works(2)
    assert_nil @worker.stop
  end

  def test_idle_threads_that_somebody_ends_are_replaced
    start
    assert_works(1)
    Thread.list.each { |one| one.kill.join if one.name == "tasker handler" }
    (2..5).each { |id| assert_works(id) }
    gate = Queue.new
    @worker.stop
    @native = FakeNative.new
    start { |worker| worker.handler("wait") { gate.pop } }
    Thread.list.each { |one| one.kill.join if one.name == "tasker handler" }
    10.times { |id| @native.step(id + 1, "wait") }
    eventually("10 handlers to wait") { gate.num_waiting == 10 }
    10.times { gate << 1 }
  end

  def test_many_starts_leave_one_hook_at_the_end_of_the_process
    count = 0
    start
    @worker.define_singleton_method(:at_exit) { |&_block| count += 1 }
    3.times do
      @worker.stop
      @native = FakeNative.new
      Tasker::NativeLoader.stub(:native, @native) { @worker.start }
    end
    assert_equal 0, count
  end
end
