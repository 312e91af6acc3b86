# frozen_string_literal: true

# A worker of the fault test in Ruby, with the handlers of load.rs.

require "pg"
require "pgtasker"
require "zlib"

PLANNED = "as it should"
PARTS = 2
PART_CLAIMS = 4
BOOK = File.read(ENV.fetch("FAULTS_BOOK_SQL"))

# What only the worker itself may rescue.
class Planned < Exception; end # rubocop:disable Lint/InheritException

# Not by way of the proxy: when a connection falls silent, this driver waits for ever.
def connected
  options = { application_name: "faults ruby", connect_timeout: 5 }
  connection = PG.connect("#{ENV.fetch("FAULTS_DIRECT_URL")}?#{URI.encode_www_form(options)}")
  yield connection
ensure
  connection&.close
end

# The same for the same step.
def dice(ctx) = Zlib.crc32("#{ctx.task_id}#{ctx.step}")

def mark(ctx, at_most_ms)
  at_most_ms = [at_most_ms, 300].max if ctx.claim_no > 1
  sleep(dice(ctx) % (at_most_ms + 1) / 1000.0)
  { claim_no: ctx.claim_no }
end

def book(ctx, account, amount)
  connected do |connection|
    ctx.transaction(connection) do |tx|
      row = connection.exec_params(BOOK, [account, amount, ctx.task_id]).first
      text = "account #{account} is not there, or has too little"
      raise Tasker::PermanentError.new(text, code: "cannot_book") unless row

      tx.complete({ account: account, balance: Integer(row["balance"]) })
    end
  end
end

# Saves where it is several times, half of them in a transaction of its own.
class Parts
  include Tasker::Batchable
  include Tasker::Handler

  handler "parts"

  def call(ctx)
    done = last_checkpoint&.cursor || 0
    upto = done + PARTS
    (done + 1..upto).each { |part| ctx.publish("part.done", { part: part }) }
    raise Tasker::RetryableError, PLANNED if ctx.attempt == 1 && ((dice(ctx) + done) % 5).zero?

    last = upto >= PART_CLAIMS * PARTS
    outcome = last ? { claim_no: ctx.claim_no } : checkpoint(upto, upto)
    return outcome if dice(ctx).odd?

    connected { |connection| ctx.transaction(connection) { |tx| tx.complete(outcome) } }
  end
end

worker = Tasker::Worker.new(namespaces: %w[faults bank], lease: 2, log: "off")
worker.handler("mark") { |ctx| mark(ctx, 0) }
worker.handler("slow") { |ctx| mark(ctx, 200) }
worker.handler("flaky") do |ctx|
  next mark(ctx, 20) if ctx.attempt > dice(ctx) % 4

  planned = (dice(ctx) % 7).zero? ? Planned : Tasker::RetryableError
  raise planned, PLANNED
end
worker.handler("fail") { raise Tasker::PermanentError, PLANNED }
worker.handler("transfer_withdraw") do |ctx|
  book(ctx, ctx.context["from"], -ctx.context["amount"])
end
worker.handler("transfer_deposit") { |ctx| book(ctx, ctx.context["to"], ctx.context["amount"]) }

worker.subscribe("step.ended") do |event|
  # Fast events are told once or not at all; what is not written down was not heard.
  values = [event.id, event.task_id, event.step, event.claim_no]
  connected { |db| db.exec_params("insert into faults.heard values ($1, $2, $3, $4)", values) }
rescue PG::Error
  nil
end

Thread.new do
  sleep 0.01 until worker.id
  puts "id #{worker.id}"
  $stdout.flush
end
begin
  worker.run
rescue Tasker::Error => error
  abort "worker: #{error.message}"
end
