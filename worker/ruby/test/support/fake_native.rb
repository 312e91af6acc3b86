# frozen_string_literal: true

require "json"

# Stands in for Tasker::Native: a test puts items in, and reads answers and options.
class FakeNative
  attr_reader :options, :answers, :asked
  attr_accessor :fails_with, :ends_with, :replies

  def initialize
    @items = Queue.new
    @answers = Queue.new
    @asked = Queue.new
    @replies = {}
    @stopped = false
  end

  def start(options)
    raise ArgumentError, @fails_with if @fails_with

    @options = JSON.parse(options)
    self
  end

  def start_consumer(options) = start(options)

  def put(item) = @items << JSON.generate(item)

  def step(id, handler, **more)
    put({ type: "step", id: id, task_id: "t", step: "s", handler: handler, attempt: 1,
          claim_no: 1, timeout_ms: 1000, idempotency_key: "t:s", context: {}, config: {},
          inputs: nil, parents: {}, checkpoint: nil, is_batch_instance: false, is_paged: false,
          **more })
  end

  def started(_wait) = true

  def poll(max, wait)
    give_up = now + wait
    sleep 0.001 while @items.empty? && !@stopped && now < give_up
    items = []
    items << @items.pop while items.size < max && !@items.empty?
    items << '{"type":"stopped","error":null}' if items.empty? && @stopped
    items
  end

  def complete(answers)
    answers.each { |id, text| @answers << [id, JSON.parse(text)] }
    0
  end

  def ask(id, what, arguments)
    @asked << [id, what, JSON.parse(arguments)]
    @replies.fetch(what, '{"value":null}')
  end

  def shutdown = @stopped = true

  def wait(seconds)
    raise @ends_with if @ends_with

    sleep [seconds, 0.01].min unless @stopped
    @stopped
  end

  def id = "worker"
  def health = '{"ok":true}'
  def metrics = ""

  # The answer to this id.
  def answer(id, within: 5)
    give_up = now + within
    kept = []
    until now > give_up
      kept << @answers.pop until @answers.empty?
      found = kept.find { |one, _| one == id }
      return kept.each { |one| @answers << one unless one == found } && found.last if found

      sleep 0.001
    end
    raise "no answer to #{id}"
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
