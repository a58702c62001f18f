"""One process alone: who publishes and who hears are in it."""

from collections.abc import Callable

from replicas import Message, Replicas, Subscription


class Memory(Replicas[Message]):
    def __init__(self) -> None:
        # Mappings to None stand for sets that keep their order.
        self._subscriptions: dict[str, dict[Subscription[Message], None]] = {}

    def publish(self, topic: str, message: Message) -> None:
        for subscription in self._subscriptions.get(topic, ()):
            subscription.offer(message)

    def subscribe(self, *topics: str, wants: Callable[[Message], bool] = lambda _: True) -> Subscription[Message]:
        subscription = Subscription(wants, lambda left: self._forget(topics, left))
        for topic in topics:
            self._subscriptions.setdefault(topic, {})[subscription] = None
        return subscription

    def subscribers(self, topic: str) -> int:
        return len(self._subscriptions.get(topic, ()))

    def miss(self, topic: str, message: Message) -> None:
        """Ends who wants a message that can no longer be told in its order."""
        for subscription in self._subscriptions.get(topic, ()):
            subscription.miss(message)

    def end(self, reason: Exception) -> None:
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end(reason)

    def _forget(self, topics: tuple[str, ...], subscription: Subscription[Message]) -> None:
        for topic in topics:
            heard_by = self._subscriptions.get(topic, {})
            heard_by.pop(subscription, None)
            if not heard_by:
                self._subscriptions.pop(topic, None)
