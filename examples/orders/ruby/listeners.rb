# frozen_string_literal: true

require "pgtasker"

module Orders
  # Figures that are kept as things happen, from fast events: gone with the process, and no step
  # waits for them.
  class Live
    # Pieces of each item, cents in each currency, and cards.
    attr_reader :reserved, :paid, :refused
    # The events themselves.
    attr_reader :heard

    # Follows what this worker's steps announce of the run.
    def initialize(worker, run)
      @run = run
      @reserved = Hash.new(0)
      @paid = Hash.new(0)
      @refused = 0
      @heard = []
      @lock = Mutex.new
      %w[stock.* payment.*].each { |pattern| worker.subscribe(pattern) { |event| note(event) } }
    end

    private

    def note(event)
      # The worker takes what waits in its namespace, also what others have enqueued.
      return unless event.correlation_id == @run

      @lock.synchronize do
        @heard << event
        payload = event.payload
        case event.name
        when "stock.reserved" then @reserved[payload["item"]] += payload["quantity"]
        when "payment.processed" then @paid[payload["currency"]] += payload["amount"]
        when "payment.failed" then @refused += 1
        end
      end
    end
  end

  # What is made of durable events: payments are booked and customers get mails.
  class Books
    SQL = File.expand_path("../../src/orders", __dir__)
    # The type's number in PostgreSQL.
    JSONB = 3802

    # @param connection [PG::Connection]
    def initialize(connection)
      @connection = connection
      @lock = Mutex.new
    end

    # @return [Tasker::Consumer] which writes to the tables
    def consumer(**options)
      Tasker::Consumer.new(namespace: NAMESPACE, **options) { |event| keep(event) }
    end

    # The effect of one event. It may be called twice with the same one: the second time nothing is
    # left to do.
    def keep(event)
      case event.name
      when "payment.processed"
        payload = { value: JSON.generate(event.payload), type: JSONB }
        execute("keep_payment", event.id, event.correlation_id, payload)
      when "order.shipped"
        mail(event, event.payload["order_id"], "On its way, parcels: #{event.payload['parcels']}")
      when "payment.failed"
        mail(event, event.metadata["order_id"], "Not paid: #{event.payload['message']}")
      end
    end

    # @return [Hash] cents in each currency, and [order, subject] of each mail, of one run
    def read(run)
      paid = @connection.exec_params("select currency, sum(amount)::int from shop.payments " \
                                     "where correlation_id = $1 group by currency", [run])
      mails = @connection.exec_params("select order_id::int, subject from shop.mails where " \
                                      "correlation_id = $1 order by 1, 2", [run])
      { paid: paid.values.to_h { |currency, amount| [currency, amount.to_i] },
        mails: mails.values.map { |order, subject| [order.to_i, subject] } }
    end

    # @return [Array] [order, event, what was wrong] of each dead letter of a run
    def refused(run)
      execute("refused", run).values.map { |order, *rest| [order.to_i, *rest] }
    end

    # @return [Integer] events of the run that nobody has consumed
    def waiting(run) = execute("waiting", run).getvalue(0, 0).to_i

    private

    def mail(event, order, subject)
      raise Tasker::PermanentError, "it does not say of which order it is" unless order

      execute("keep_mail", event.id, event.correlation_id, order, subject)
    end

    # One connection is used by one thread at a time.
    def execute(file, *parameters)
      sql = File.read("#{SQL}/#{file}.sql")
      @lock.synchronize { @connection.exec_params(sql, parameters) }
    end
  end
end
