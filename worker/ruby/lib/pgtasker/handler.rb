# frozen_string_literal: true

module Tasker
  # A class whose instances run steps. Each step has an instance of its own.
  #
  #   class ChargeCard
  #     include Tasker::Handler, Tasker::Api
  #     handler "charge_card"
  #     def call(ctx)
  #       { receipt: post(URL, json: ctx.context).json["id"] }
  #     end
  #   end
  #
  # What `call` returns is the step's result. Raise Tasker::RetryableError or
  # Tasker::PermanentError to say how a failure is judged; any other error is retryable.
  module Handler
    include InStep

    # A handler of one name.
    # @api private
    Entry = ::Struct.new(:name, :target, :method, :paged)

    @entries = {}
    @callables = {}

    # @api private
    def self.included(owner)
      super
      owner.extend(ClassMethods)
    end

    # What classes that include the module say.
    module ClassMethods
      # Names the handler that the method `call` is.
      # @param name [String] as templates say it
      # @param paged [Boolean] whether it can do without the parents' results in its context, where
      #   they are too large for a claim: see Tasker::StepContext#each_parent_page
      def handler(name, paged: false)
        Handler.add(name.to_s, self, paged)
      end

      # Makes each public method of the class the handler `<name>.<method>`, and `call` the handler
      # `<name>`.
      # @param name [String]
      def callable(name)
        Handler.add_callable(name.to_s, self)
      end
    end

    class << self
      # @api private
      def add(name, owner, paged)
        reference = reference(owner)
        check(name, @entries[name]&.target, reference)
        @entries[name] = Entry.new(name, reference, :call, paged)
      end

      # @api private
      def add_callable(name, owner)
        reference = reference(owner)
        check(name, @callables[name], reference)
        @callables[name] = reference
      end

      # The handlers of all classes loaded, or of these classes.
      # @api private
      # @return [Hash{String => Entry}]
      # @raise [ArgumentError] a name is there twice, or has no method
      def entries(classes = nil)
        chosen = ->(target) { classes.nil? || classes.include?(resolve(target)) }
        entries = @entries.select { |_, entry| chosen.call(entry.target) }
        entries.each_value { |entry| check_callable(entry) }
        @callables.select { |_, target| chosen.call(target) }.each do |name, target|
          entries = merge(entries, methods(name, target).to_h { |entry| [entry.name, entry] })
        end
        entries
      end

      # @api private
      # @raise [ArgumentError] both have a name: nothing says which of the two is meant
      def merge(entries, more)
        entries.merge(more) do |name, one, other|
          targets = [one, other].map { |entry| Failures.name_of(resolve(entry.target)) }
          raise ArgumentError, "there are two handlers #{name}: #{targets.join(' and ')}"
        end
      end

      # @api private
      def methods(name, target)
        names = public_methods_of(resolve(target))
        raise ArgumentError, "callable #{name}: #{target} has no public method" if names.empty?

        names.map do |method|
          Entry.new(method == :call ? name : "#{name}.#{method}", target, method, false)
        end
      end

      # Rails replaces a class when its file changes: a name finds the newest.
      # @api private
      def resolve(target)
        target.is_a?(String) ? Object.const_get(target) : target
      end

      private

      # A class that Rails has loaded again takes the place of itself.
      def check(name, before, now)
        return if before.nil? || before == now

        raise ArgumentError, "handler #{name} of #{now} is one of #{before} already"
      end

      def check_callable(entry)
        target = resolve(entry.target)
        return if target.public_method_defined?(:call) || target.respond_to?(:call)

        raise ArgumentError, "handler #{entry.name}: #{target} has no public method `call`"
      end

      def reference(owner)
        named = owner.name && Object.const_defined?(owner.name)
        # While its body runs, a class is found by its name already.
        named ? owner.name : owner
      end

      # Those of the class and of its own ancestors, not those of Ruby and of this library.
      def public_methods_of(target)
        ancestors = target.is_a?(Class) ? target.ancestors : target.singleton_class.ancestors
        # Before Object are also modules that were prepended to it, as by ActiveSupport.
        owners = ancestors.take_while { |one| one != Object } - Object.ancestors
        owners.reject! { |one| one.name.to_s.start_with?("Tasker::") }
        # Ruby's order depends on what else is loaded.
        owners.flat_map { |one| one.public_instance_methods(false) }.uniq.sort
      end
    end
  end
end
