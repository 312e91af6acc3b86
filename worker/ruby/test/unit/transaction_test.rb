# frozen_string_literal: true

require_relative "../unit_helper"
require "minitest/mock"

# Steps that end in a transaction of their own, on connections that record their statements.
class UnitTransactionTest < UnitTest
  Answer = Struct.new(:status, :cmd_status) do
    def getvalue(_row, _column) = status
  end

  # As the gem pg has it.
  class Connection
    attr_reader :statements
    # What the database answers to a commit.
    attr_accessor :answers, :transaction_status

    def initialize
      @statements = []
      @answers = "COMMIT"
      @transaction_status = 0
    end

    def exec(sql)
      @statements << sql
      @transaction_status = sql.start_with?("begin") ? 2 : 0
      Answer.new(nil, @answers)
    end

    def exec_params(_sql, parameters)
      @statements << "submit"
      Answer.new(parameters.first)
    end
  end

  class Rollback < StandardError; end

  # As ActiveRecord has it.
  class Record
    State = Struct.new(:is_committed) do
      def committed? = is_committed
    end
    Transaction = Struct.new(:state)
    attr_reader :raw_connection, :current_transaction

    def initialize(raw) = @raw_connection = raw
    def transaction_open? = false

    def transaction(**)
      @current_transaction = Transaction.new(State.new(false))
      @raw_connection.exec("begin")
      begin
        yield
      rescue Exception => error
        raise unless error.is_a?(Rollback)
      ensure
        # It commits what is left by a break.
        @current_transaction.state.is_committed = error.nil?
        @raw_connection.exec(error ? "rollback" : "commit")
      end
    end
  end

  # What the block of a step did: the run, and the statements.
  def transact(connection = Connection.new, status: "accepted", &block)
    run = on_pg do
      run_step(status: status) { |ctx| ctx.transaction(connection) { |tx| block.call(tx, ctx) } }
    end
    [run, connection.statements]
  end

  def on_pg(&block) = Tasker::Transaction.stub(:adapter, Tasker::Transaction::OnPg, &block)

  # Yields a connection of each kind, and what records its statements.
  def each_kind
    raw = Connection.new
    on_pg { yield raw, raw }
    raw = Connection.new
    yield Record.new(raw), raw
  end

  def test_it_ends_the_step
    run, statements = transact { |tx| tx.complete({ deposited: 5 }) }
    assert_equal({ "deposited" => 5 }, run.result)
    assert_equal ["begin isolation level read committed", "submit", "commit"], statements
    run, = transact { |tx, ctx| tx.complete(ctx.checkpoint(1, 1)) }
    assert_equal "checkpoint", run.outcome["type"]
    raw = Connection.new
    run = run_step { |ctx| ctx.transaction(Record.new(raw)) { |tx| tx.complete(7) } }
    assert_equal [7, %w[begin submit commit]], [run.result, raw.statements]
  end

  def test_it_rolls_back
    run, statements = transact(status: "stale") { |tx| tx.complete(1) }
    assert_equal [true, "stale", "rollback"], [run.retryable?, run.code, statements.last]
    run, statements = transact { |_| raise "no" }
    assert_match(/\ARuntimeError: no/, run.outcome["message"])
    assert_equal "rollback", statements.last
    run, statements = transact { |_| 1 }
    assert_match(/no tx.complete/, run.outcome["message"])
    assert_equal [false, "rollback"], [run.retryable?, statements.last]
    run, statements = transact { |tx| tx.complete(Float::NAN) }
    assert_equal ["invalid_result", "rollback"], [run.code, statements.last]
  end

  def test_what_comes_after_the_commit_changes_nothing
    connection = Connection.new
    run = on_pg do
      run_step do |ctx|
        ctx.transaction(connection) { |tx| tx.complete(1) }
        raise "late"
      end
    end
    assert_equal [1, "success"], [run.result, run.outcome["type"]]
  end

  def returns(ctx, connection)
    ctx.transaction(connection) do |tx|
      tx.complete(1)
      return "returned"
    end
  end

  def test_who_leaves_it_rolls_back
    leaves = [
      ->(ctx, connection) { returns(ctx, connection) },
      ->(ctx, connection) { ctx.transaction(connection) { |tx| break tx.complete(1) } },
      ->(ctx, connection) { ctx.transaction(connection) { break 1 } },
      ->(ctx, connection) { catch(:out) { ctx.transaction(connection) { throw :out } } }
    ]
    leaves.each do |leave|
      each_kind do |connection, raw|
        run = run_step { |ctx| leave.call(ctx, connection) }
        assert_equal({ "type" => "failure", "retryable" => false,
                       "message" => "return, break, or throw left the transaction: it was " \
                                    "rolled back" }, run.outcome)
        assert_equal "rollback", raw.statements.last
      end
    end
  end

  def test_a_thread_that_ends_in_it_rolls_back
    each_kind do |connection, raw|
      outcome = nil
      Thread.new do
        outcome = run_step do |ctx|
          ctx.transaction(connection) do |tx|
            tx.complete(1)
            Thread.exit
          end
        end.outcome
      end.join
      assert_equal "rollback", raw.statements.last
      assert_equal "failure", outcome["type"] if outcome
    end
  end

  def test_a_transaction_whose_statement_failed_has_not_committed
    each_kind do |connection, raw|
      run = run_step do |ctx|
        ctx.transaction(connection) do |tx|
          tx.complete(1)
          raw.transaction_status = 3
        end
      end
      assert_equal [false, true], [run.success?, run.retryable?]
      assert_match(/rolled back: a statement in it had failed/, run.outcome["message"])
      assert_equal "rollback", raw.statements.last
    end
  end

  def test_a_commit_that_rolls_back_has_not_committed
    connection = Connection.new
    connection.answers = "ROLLBACK"
    run, statements = transact(connection) { |tx| tx.complete(1) }
    assert_equal [false, true, "commit"], [run.success?, run.retryable?, statements.last]
  end

  def test_rollback_of_active_record_has_not_committed
    [->(tx) { tx.complete(1) }, ->(_) {}].each do |before|
      raw = Connection.new
      run = run_step do |ctx|
        ctx.transaction(Record.new(raw)) do |tx|
          before.call(tx)
          raise Rollback
        end
      end
      assert_equal [false, false], [run.success?, run.retryable?]
      assert_match(/rolled back by ActiveRecord::Rollback/, run.outcome["message"])
      assert_equal "rollback", raw.statements.last
    end
  end
end
