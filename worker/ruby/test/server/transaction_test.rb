# frozen_string_literal: true

require_relative "../server_helper"
require "active_record"

# Steps that end in a transaction of their own, by pg and by ActiveRecord.
class TransactionTest < ServerTest
  def setup
    super
    @table = "books_#{namespace}"
    db.exec("create table #{@table} (n int)")
    apply({ name: "only", handler: { callable: "book" }, retry: { max_attempts: 2,
                                                                   backoff_base_ms: 10 },
            publishes_events: [{ name: "booked" }] })
  end

  def teardown
    super
    ActiveRecord::Base.remove_connection if ActiveRecord::Base.connected?
  end

  def written = db.exec("select n from #{@table} order by n").column_values(0).map(&:to_i)

  # A handler on a connection of its own.
  def book(&block)
    work do |worker|
      worker.handler("book") do |ctx|
        conn = PG.connect(Server.url)
        begin
          block.call(ctx, conn)
        ensure
          conn.close
        end
      end
    end
  end

  def test_writes_and_end_commit_together
    book do |ctx, conn|
      ctx.publish("booked", { n: 1 })
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (1)")
        tx.complete({ deposited: 10**30 })
      end
    end
    task = enqueue
    assert_equal({ "deposited" => 10**30 }, result(task)["only"])
    assert_equal [1], written
    assert_equal 1, step(task)["attempt"]
    queue = "pgmq.q_#{namespace}_domain_events"
    assert_equal "{\"n\": 1}", db.exec("select message -> 'payload' from #{queue}").getvalue(0, 0)
  end

  def test_a_step_that_was_cancelled_meanwhile_rolls_back
    entered = Queue.new
    gate = Queue.new
    errors = Queue.new
    book do |ctx, conn|
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (1)")
        entered << 1
        gate.pop
        tx.complete(1)
      end
    rescue Tasker::StepError => error
      errors << error
      raise
    end
    task = enqueue
    entered.pop
    client.cancel_task(task, "enough")
    gate << 1
    assert_equal "cancelled", ended(task)
    assert_match(/rolled back/, errors.pop.message)
    assert_equal [], written
  end

  def test_an_error_of_the_users_rolls_back
    book do |ctx, conn|
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (#{ctx.attempt})")
        raise "no" if ctx.attempt == 1

        tx.complete(ctx.attempt)
      end
    end
    assert_equal 2, result_of
    assert_equal [2], written
  end

  def test_a_transaction_without_an_end_fails_its_step
    book do |ctx, conn|
      ctx.transaction(conn) { conn.exec("insert into #{@table} values (1)") }
    end
    assert_match(/no tx\.complete/, failure_of["message"])
    assert_equal [], written
  end

  def test_a_result_that_cannot_be_stored_rolls_back
    book do |ctx, conn|
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (1)")
        tx.complete(Float::INFINITY)
      end
    end
    assert_equal "invalid_result", failure_of["code"]
    assert_equal [], written
  end

  def test_a_commit_that_fails_is_judged_by_the_database
    db.exec("alter table #{@table} add unique (n) deferrable initially deferred")
    book do |ctx, conn|
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (1), (#{ctx.attempt})")
        tx.complete(ctx.attempt)
      end
    end
    assert_equal 2, result_of
    assert_equal [1, 2], written
  end

  def test_active_record
    ActiveRecord::Base.establish_connection("#{Server.url}?pool=70")
    model = Class.new(ActiveRecord::Base)
    model.table_name = @table
    work do |worker|
      worker.handler("book") do |ctx|
        ctx.transaction do |tx|
          model.create!(n: ctx.attempt)
          raise "no" if ctx.attempt == 1

          tx.complete({ by: "ActiveRecord" })
        end
      end
    end
    assert_equal({ "by" => "ActiveRecord" }, result_of)
    assert_equal [2], written
    eventually("connections to be given back") do
      ActiveRecord::Base.connection_pool.stat.fetch(:busy) <= 1
    end
  end

  def test_active_record_rolls_back_when_the_step_is_gone
    ActiveRecord::Base.establish_connection(Server.url)
    other = PG.connect(Server.url)
    @stops << -> { other.close }
    work do |worker|
      worker.handler("book") do |ctx|
        ctx.transaction do |tx|
          tx.connection.execute("insert into #{@table} values (1)")
          Tasker::Client.new(other).cancel_task(ctx.task_id, "enough")
          tx.complete(1)
        end
      end
    end
    assert_equal "cancelled", ended(enqueue)
    assert_equal [], written
  end

  def test_an_error_that_is_swallowed_before_the_commit_rolls_back
    book do |ctx, conn|
      ctx.transaction(conn) do |tx|
        conn.exec("insert into #{@table} values (#{ctx.attempt})")
        tx.complete(ctx.attempt)
        conn.exec("select 1 / 0") if ctx.attempt == 1
      rescue PG::Error
        nil
      end
    end
    assert_equal 2, result_of
    assert_equal [2], written
  end

  def test_a_transaction_that_a_handler_leaves_open_is_not_that_of_the_next_step
    ActiveRecord::Base.establish_connection("#{Server.url}?pool=1")
    before = Tasker.logger
    Tasker.logger = Logger.new(log)
    apply({ name: "only", handler: { callable: "leaves" } }, name: "leaves")
    apply({ name: "only", handler: { callable: "follows" } }, name: "follows")
    work do |worker|
      worker.handler("leaves") do |ctx|
        connection = ActiveRecord::Base.connection
        ctx.context["raw"] ? connection.execute("begin") : connection.begin_transaction
        Process.pid
      end
      worker.handler("follows") { |ctx| ctx.transaction { |tx| tx.complete(2) } }
    end
    [true, false].each do |raw|
      assert_equal Process.pid, result(enqueue({ raw: raw }, name: "leaves"))["only"]
      assert_equal 2, result(enqueue(name: "follows"))["only"]
    end
    assert_equal 2, log.string.scan("has left a transaction of ActiveRecord open").size
  ensure
    Tasker.logger = before
  end

  # What leaves the block of ActiveRecord by other ways than its end or an error.
  def test_active_record_that_rolls_back_has_not_ended_the_step
    ActiveRecord::Base.establish_connection("#{Server.url}?pool=70")
    { "rollback" => /by ActiveRecord::Rollback/, "break" => /left the transaction/,
      "swallow" => /a statement in it had failed/ }.each do |how, told|
      work do |worker|
        worker.handler("book") do |ctx|
          ctx.transaction do |tx|
            tx.connection.execute("insert into #{@table} values (1)")
            tx.complete(1)
            raise ActiveRecord::Rollback if how == "rollback"
            break 1 if how == "break"

            tx.connection.execute("select 1 / 0") if how == "swallow"
          rescue ActiveRecord::StatementInvalid
            nil
          end
        end
      end
      assert_match told, failure_of["message"]
      assert_equal [], written
      @stops.pop.call
    end
  end
end
