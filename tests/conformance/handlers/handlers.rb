# frozen_string_literal: true

# The handlers of the conformance test in Ruby: those of rust.rs, by the same names.

require "pg"
require "pgtasker"

$stdout.sync = true
GATES = ENV.fetch("CONFORMANCE_GATES")

# Tells the driver. In one call, as several threads write.
def note(task, text) = $stdout.write("note #{task} #{text}\n")

def open?(ctx, name) = File.exist?("#{GATES}/#{ctx.task_id}.#{name}")

# Waits until the driver opens it.
def gate(ctx, name)
  sleep 0.01 until open?(ctx, name)
end

worker = Tasker.worker
worker.state = "EUR"

worker.handler("echo", &:context)

Line = Struct.new(:sku, :quantity) { def self.tasker_types = { sku: String, quantity: Integer } }
Order = Struct.new(:order_id, :lines, :note) do
  def self.tasker_types
    { order_id: Integer, lines: [Line], note: Tasker.optional(String) }
  end
end

worker.handler("typed") do |ctx|
  order = ctx.context(Order)
  { id: order.order_id, total: order.lines.sum(&:quantity), skus: order.lines.map(&:sku),
    note: order.note }
end

worker.handler("typed_config") { |ctx| ctx.config(Order).order_id }
worker.handler("typed_parent") { |ctx| ctx.parent("a", Order).order_id }

worker.handler("fail") do |ctx|
  given = ctx.context
  next ctx.attempt if given["until"] && ctx.attempt >= given["until"]

  message, code = given.values_at("message", "code")
  message *= given.fetch("times", 1)
  raise Tasker::PermanentError.new(message, code: code) if given["kind"] == "permanent"

  delay = given["retry_after_ms"]
  raise Tasker::RetryableError.new(message, code: code, retry_after: delay && (delay / 1000.0))
end

class NoSuchItem < StandardError; end

worker.handler("foreign") do
  raise IndexError, "the shelf is empty"
rescue IndexError
  raise NoSuchItem, "no such item"
end

class Thrown < Exception; end # rubocop:disable Lint/InheritException

worker.handler("throw") { raise Thrown, "thrown as it is" }

worker.handler("bad") do |ctx|
  kind, n = ctx.context.values_at("kind", "n")
  cycle = { a: [] }
  cycle[:a] << cycle
  case kind
  when "nul" then { a: ["b\0"] }
  when "nul_key" then { a: { "b\0" => 1 } }
  when "deep" then n.times.reduce(1) { |inner, _| [inner] }
  when "large" then "x" * n
  when "nan" then { a: [Float::NAN] }
  when "infinity" then [Float::INFINITY]
  when "object" then { a: [Object.new] }
  when "cycle" then cycle
  else { a: "\xED\xA0\x80" }
  end
end

worker.handler("types") do
  { time: Time.utc(2026, 1, 2, 3, 4, 5.678r), ids: { half: 0.5, tenth: 0.1 }, none: nil,
    yes: true, big: (2**64) - 1 }
end

worker.handler("stubborn") do |ctx|
  note(ctx.task_id, "began")
  gate(ctx, "go")
  note(ctx.task_id, "returns")
  "done"
end

worker.handler("watchful") do |ctx|
  note(ctx.task_id, "began")
  sleep 0.01 until ctx.cancelled?
  note(ctx.task_id, "stops")
  raise Tasker::RetryableError, "stopped"
end

worker.handler("patient") { |ctx| sleep 0.01 until ctx.cancelled? }

worker.handler("linger") do |ctx|
  note(ctx.task_id, "began attempt #{ctx.attempt}")
  gate(ctx, "go")
  note(ctx.task_id, "returns")
  ctx.attempt
end

quick = lambda do |ctx|
  note(ctx.task_id, "ran #{ctx.step}")
  ctx.step
end
worker.handler("quick", quick)
worker.handler("elsewhere", quick) unless ENV.key?("CONFORMANCE_LACKS")

worker.handler("about") do |ctx|
  { step: ctx.step, handler: ctx.handler, attempt: ctx.attempt, claim_no: ctx.claim_no,
    correlation_id: ctx.correlation_id, traceparent: ctx.traceparent,
    seconds: ctx.timeout.to_i, is_batch_instance: ctx.batch_instance?, config: ctx.config,
    inputs: ctx.inputs, task: ctx.task_id }
end

worker.handler("parent") { |ctx| ctx.parent(ctx.config["parent"]) }
worker.handler("parents", &:parents)

worker.handler("stray") do |ctx|
  Thread.new do
    Thread.current.report_on_exception = false
    raise "nobody awaits this"
  end
  ctx.step
end

worker.handler("after_fork") do |ctx|
  child = fork { exit!(0) }
  Process.wait(child)
  [ctx.step, $?.success?]
end

worker.handler("in_fork") do |ctx|
  read, write = IO.pipe
  child = fork do
    begin
      ctx.publish("heard.fork", 1)
      write.write("nothing")
    rescue StandardError => error
      write.write(error.message)
    end
    write.close
    exit!(0)
  end
  write.close
  Process.wait(child)
  read.read.include?("after the fork")
end

class Payments
  include Tasker::Handler
  callable "payments"

  def charge(ctx) = [ctx.handler, ctx.state]
  def refund(ctx) = [ctx.handler, ctx.state]
end

if ENV.key?("CONFORMANCE_RESOLVES")
  worker.resolver { |name| ->(ctx) { ["resolved", ctx.handler] } if name == "found" }
end

worker.handler("relay_ruby") { |ctx| ctx.parents.empty? ? ctx.context : ctx.parents.values.first }

worker.handler("announce") do |ctx|
  said = ctx.context
  (said["events"] || []).each { |name, payload| ctx.publish(name, payload) }
  if said["fails"] == "permanent"
    raise Tasker::PermanentError.new("refused", code: "card_refused")
  end
  raise Tasker::RetryableError.new("busy", code: "busy") if said["fails"] && ctx.attempt == 1

  said["result"]
end

worker.publisher("paid.*") do |event, ctx|
  amount = event.payload["amount"]
  next if amount.is_a?(Integer) && amount.zero?
  raise Tasker::PermanentError, "an unlucky amount" if amount == 13

  event.payload["seen"] = true
  event.metadata = { attempt: ctx.attempt, order: ctx.context["order"] }
  event
end

worker.subscribe("heard.*") do |event|
  note(event.task_id, "heard #{event.name} #{JSON.generate(event.payload)}")
end

worker.handler("decide") do |ctx|
  steps = ctx.context["choose"]
  next "no choice" if steps.nil?
  next ctx.choose_none if steps.empty?

  ctx.choose(*steps, result: { chosen: steps.size })
end

worker.handler("cut") do |ctx|
  rows, parts, size = ctx.context.values_at("rows", "parts", "size")
  ctx.batches(size ? ctx.split_by(0...rows, size) : ctx.split(0...rows, parts || 1))
end

worker.handler("cut_any") do |ctx|
  cursors, step = ctx.context.values_at("cursors", "worker")
  ctx.batches(cursors, worker_step: step, result: "cut")
end

worker.handler("keep") do |ctx|
  last = ctx.last_checkpoint
  next ctx.checkpoint(ctx.context, 3, ctx.context) unless last

  [last.cursor, last.items_processed, last.accumulated]
end

worker.handler("add") do |ctx|
  range = ctx.cursor(Range)
  last = ctx.last_checkpoint(Integer, Integer)
  from, sum = last ? [last.cursor, last.accumulated] : [range.begin, 0]
  to = [range.end, from + 5].min
  sum += (from...to).sum
  if ctx.context["fails"] == range.begin
    raise Tasker::PermanentError.new("this one fails", code: "failed")
  end
  next ctx.checkpoint(to, to - range.begin, sum) if to < range.end

  sum
end

worker.handler("total") do |ctx|
  batch = ctx.batch("add")
  pages = batch.each_page(Integer, size: 3).to_a
  all = pages.flatten(1)
  { instances: batch.instances, complete: batch.complete, failed: batch.failed,
    inline: batch.results(Integer), pages: pages.map(&:size),
    sum: all.sum { |one| one.result || 0 },
    states: all.map { |one| [one.number, one.step, one.state] } }
end

worker.handler("same_checkpoint") { |ctx| ctx.checkpoint({ at: 1 }, 1) }

worker.handler("book") do |ctx|
  kind = ctx.context["kind"]
  conn = PG.connect(ENV.fetch("DATABASE_URL"))
  begin
    ctx.transaction(conn) do |tx|
      conn.exec_params("insert into conformance_effects values ($1)", [ctx.task_id])
      note(ctx.task_id, "written")
      gate(ctx, "go") if kind == "stale"
      raise Tasker::PermanentError.new("sold out", code: "sold_out") if kind == "error"

      conn.exec("select 1 / 0") if kind == "sql"
      first = kind == "checkpoint" && ctx.last_checkpoint.nil?
      outcome = first ? ctx.checkpoint(1, 1, "half") : { booked: kind }
      tx.complete(kind == "nul" ? ["\0"] : outcome)
    end
    raise Tasker::PermanentError, "after the end" if kind == "after"
  ensure
    conn.close
  end
end

worker.handler("call") do |ctx|
  path, allow = ctx.context.values_at("path", "allow")
  response = ctx.post(ENV.fetch("CONFORMANCE_WEB") + path,
                      json: { big: (2**64) - 1, text: "\u00fc" }, headers: { "X-Own" => "1" },
                      idempotency_suffix: "first", allow_status: [*allow])
  [response.status, response.header("content-type"), response.json]
end

# Holds Ruby's lock.
worker.handler("compute") do |ctx|
  note(ctx.task_id, "began")
  nil until open?(ctx, "go")
  ctx.claim_no
end

worker.handler("nothing") { nil }

worker.handler("join", paged: true) do |ctx|
  ctx.each_parent_page.flat_map(&:to_a)
end

if ARGV == ["consumer"]
  again = true
  consumer = Tasker::Consumer.new(namespace: ENV.fetch("TASKER_WORKER_NAMESPACE")) do |event|
    note(event.task_id, "consumes #{JSON.generate(event.payload)}")
    raise Tasker::PermanentError, "no such order" if event.payload["kind"] == "never"

    if event.payload["kind"] == "again" && again
      again = false
      raise Tasker::RetryableError, "later"
    end
  end
  consumer.run
end
