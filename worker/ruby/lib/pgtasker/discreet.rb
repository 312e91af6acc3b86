# frozen_string_literal: true

module Tasker
  # Shown without the step's data: what is printed often ends up in a log.
  # @api private
  module Discreet
    def inspect = "#<#{[self.class, *shown].join(' ')}>"
    def to_s = inspect
    # The same for `pp`.
    def pretty_print(printer) = printer.text(inspect)

    private

    # What may be seen.
    def shown = []
  end
end
