# frozen_string_literal: true

module Tasker
  # ActiveRecord's connections of a thread, in an application that has ActiveRecord.
  # @api private
  module Connections
    module_function

    # A thread of the pool that keeps its connection takes it from the others.
    def released
      yield
    ensure
      ::ActiveRecord::Base.connection_handler.clear_active_connections! if active_record?
    end

    # A transaction that the block leaves open ends with its connection, which would else be that of
    # another step, with the transaction.
    def without_leftovers(&block)
      active_record? ? closing_leftovers(&block) : yield
    end

    def closing_leftovers
      before = in_transaction
      yield
    ensure
      (in_transaction - before).each do |connection|
        connection.throw_away!
        Failures.complain(Tasker.logger, "a handler has left a transaction of ActiveRecord open: " \
                                         "it was rolled back, and its connection closed")
      end
    end

    def in_transaction
      role = ::ActiveRecord::Base.current_role
      pools = ::ActiveRecord::Base.connection_handler.connection_pool_list(role)
      pools.filter_map(&:active_connection?).select { |connection| open?(connection) }
    end

    # Also by a statement of the handler's own, of which ActiveRecord knows nothing.
    def open?(connection)
      return true if connection.transaction_open?

      raw = connection.raw_connection
      raw.respond_to?(:transaction_status) && raw.transaction_status.positive?
    end

    def active_record? = defined?(::ActiveRecord::Base) ? true : false
  end
end
