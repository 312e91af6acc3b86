# frozen_string_literal: true

require_relative "../server_helper"

# Events that steps publish, change, keep back, and that others take.
class EventsTest < ServerTest
  def pay(delivery: "broadcast", **more)
    apply({ name: "only", handler: { callable: "pay" },
            publishes_events: [{ name: "payment.processed", delivery: delivery, **more }] })
  end

  def queued
    rows = db.exec("select message from pgmq.q_#{namespace}_domain_events order by msg_id")
    rows.column_values(0).map { |text| Tasker::ExactJson.parse(text) }
  end

  def consume(**options, &block)
    consumer = Tasker::Consumer.new(namespace: namespace, database_url: Server.url,
                                    logger: Logger.new(log), **options, &block)
    consumer.start
    @stops << -> { consumer.stop }
    consumer
  end

  def test_a_handler_publishes_and_subscribers_hear
    pay
    heard = Queue.new
    number = BigDecimal("0.1234567890123456789012345")
    work do |worker|
      worker.subscribe("payment.*") { |event| heard << event }
      worker.handler("pay") do |ctx|
        ctx.publish("payment.processed", { n: number })
        ctx.publish("payment.processed", { n: 2 })
        nil
      end
    end
    task = enqueue
    result(task)
    events = Array.new(2) { heard.pop }
    assert_equal([{ "n" => number }, { "n" => 2 }], events.map(&:payload))
    assert_equal [task, "only", namespace, "payment.processed"],
                 [events[0].task_id, events[0].step, events[0].namespace, events[0].name]
    assert_equal([{ "n" => number }, { "n" => 2 }], queued.map { |event| event["payload"] })
  end

  def test_a_publisher_changes_and_keeps_back
    pay
    work do |worker|
      worker.handler("pay") { |ctx| ctx.context }
      worker.publisher("payment.*") do |event, ctx|
        next if event.payload["amount"].zero?
        raise "no such card" if event.payload["amount"] == 13

        event.payload["card"] = "****"
        event.metadata = { attempt: ctx.attempt, of: ctx.context["amount"] }
        event
      end
    end
    [0, 5, 13].each { |amount| result(enqueue({ amount: amount, card: "4242" })) }
    assert_equal [[{ "amount" => 5, "card" => "****" }, { "attempt" => 1, "of" => 5 }]],
                 queued.map { |event| event.values_at("payload", "metadata") }
    letters = "select detail from tasker.dead_letters where queue = $1"
    detail = eventually("the dead letter") do
      db.exec_params(letters, ["#{namespace}_domain_events"]).column_values(0).first
    end
    assert_match(/RuntimeError: no such card/, detail)
  end

  def test_a_consumer_takes_each_event
    pay(delivery: "durable")
    work { |worker| worker.handler("pay") { |ctx| ctx.context } }
    seen = Queue.new
    failed = false
    consume(visible: 5) do |event|
      case event.payload["n"]
      when 1 then failed = true and raise "later" unless failed
      when 2 then raise Tasker::PermanentError, "never"
      end
      seen << [event.payload["n"], event.id]
    end
    tasks = client.enqueue_tasks(namespace, "flow", (0..3).map { |n| { n: n } })
    tasks.each { |task| result(task) }
    taken = Array.new(3) { seen.pop }
    assert_equal [0, 1, 3], taken.map(&:first).sort
    assert_equal 3, taken.map(&:last).uniq.size
    letters = "select count(*) from tasker.dead_letters where queue = $1 and detail ~ 'never'"
    eventually("the dead letter") do
      db.exec_params(letters, ["#{namespace}_domain_events"]).getvalue(0, 0) == "1"
    end
    eventually("the queue to be empty") { queued.empty? }
  end

  def test_a_consumer_says_why_it_cannot_start
    consumer = Tasker::Consumer.new(namespace: "Bad Name", database_url: Server.url) { nil }
    assert_raises(Tasker::StartError) { consumer.start }
    assert_raises(Tasker::StartError) { Tasker::Consumer.new(namespace: "a").start }
  end
end
