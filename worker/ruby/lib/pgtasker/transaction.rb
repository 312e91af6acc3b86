# frozen_string_literal: true

module Tasker
  # The end of a step in a transaction of its own; see Tasker::StepContext#transaction.
  class Transaction
    # The database does not take the end: the transaction rolls back.
    # @api private
    class Refused < StandardError
      attr_reader :status

      def initialize(status)
        super("the step's end was answered #{status}")
        @status = status
      end
    end

    # Answered where the transaction has ended the step.
    # @api private
    SUBMITTED = Outcome.new("submitted")

    # PG::PQTRANS_INTRANS: a transaction in which no statement has failed.
    OPEN = 2
    ENDED = "the transaction was rolled back: a statement in it had failed, or had ended it"
    private_constant :OPEN, :ENDED

    # @return [PG::Connection, Object] the connection that the transaction is on
    attr_reader :connection

    # @api private
    def initialize(ctx, connection, adapter)
      @ctx = ctx
      @connection = connection
      @adapter = adapter
      @completed = false
    end

    # Ends the step with this result: the transaction's last statement.
    # @param value the result, or an Outcome, as a checkpoint that goes with the writes
    # @return [Outcome] the handler may return it
    # @raise [InvalidResult]
    def complete(value = nil)
      raise PermanentError, "the transaction has ended its step already" if @completed

      outcome = ExactJson::Raw.new(Outcome.text(value))
      prepared = @ctx.ask("prepare", { outcome: outcome })
      status = @adapter.status(@connection, *prepared.values_at("statement", "parameters"))
      raise Refused, status unless status == "accepted"

      @completed = true
      SUBMITTED
    end

    # @api private
    def self.run(ctx, connection, &block)
      adapter = adapter(connection)
      adapter.open(connection) do |opened|
        transaction = new(ctx, opened, adapter)
        whole { block.call(transaction) }
        transaction.commits
      end
      ctx.committed!
      SUBMITTED
    rescue Refused => refused
      ctx.ask("refused", { status: refused.status })
    end

    # A block that is left by neither its end nor an error would commit, or leave the transaction
    # open.
    # @api private
    def self.whole
      is_over = false
      yield
      is_over = true
    rescue Exception # rubocop:disable Lint/RescueException
      is_over = true
      raise
    ensure
      unless is_over
        raise PermanentError, "return, break, or throw left the transaction: it was rolled back"
      end
    end

    # @api private
    def commits
      unless @completed
        raise PermanentError, "the transaction was rolled back: it has no tx.complete(…)"
      end
      # A commit would roll back, and say so by no error.
      raise RetryableError, ENDED unless @adapter.raw(@connection).transaction_status == OPEN

      @ctx.ask("commits", {})
    end

    # @api private
    def self.adapter(connection)
      return OnPg if defined?(::PG::Connection) && connection.is_a?(::PG::Connection)
      return OnActiveRecord if connection.nil? || connection.respond_to?(:connection) ||
                               connection.respond_to?(:raw_connection)

      raise ArgumentError, "#{connection.class} is no PG::Connection and no ActiveRecord class"
    end

    # On a connection of the gem pg.
    # @api private
    module OnPg
      module_function

      def open(connection)
        unless connection.transaction_status.zero?
          raise PermanentError, "this connection is in a transaction already: the step's own " \
                                "must be one of its own"
        end

        connection.exec("begin isolation level read committed")
        is_whole = false
        begin
          yield connection
          is_whole = true
        ensure
          # The user's error is what counts; a connection that is lost has rolled back.
          rollback(connection) unless is_whole
        end
        raise RetryableError, ENDED unless connection.exec("commit").cmd_status == "COMMIT"
      end

      def raw(connection) = connection

      def rollback(connection)
        connection.exec("rollback")
      rescue StandardError
        nil
      end

      def status(connection, statement, parameters)
        connection.exec_params(statement, parameters).getvalue(0, 0)
      end
    end

    # On a connection of ActiveRecord, by its class: ActiveRecord::Base where none is given.
    # @api private
    module OnActiveRecord
      module_function

      def open(owner)
        connection = connection_of(owner)
        if connection.transaction_open?
          raise PermanentError, "ActiveRecord is in a transaction already: the step's own must " \
                                "be one of its own"
        end

        state = nil
        connection.transaction(isolation: :read_committed, joinable: false) do
          state = connection.current_transaction.state
          yield connection
        end
        # ActiveRecord::Rollback ends here, and raises no error.
        return if state.committed?

        raise PermanentError, "the transaction was rolled back by ActiveRecord::Rollback"
      end

      def raw(connection) = connection.raw_connection

      def connection_of(owner)
        owner ||= ::ActiveRecord::Base
        return owner.lease_connection if owner.respond_to?(:lease_connection)

        owner.respond_to?(:raw_connection) ? owner : owner.connection
      end

      def status(connection, statement, parameters)
        raw(connection).exec_params(statement, parameters).getvalue(0, 0)
      end
    end
  end
end
