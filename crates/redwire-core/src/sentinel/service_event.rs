//! What sentinels publish when something happens to a service. It must not know how it was received.
//!
//! The channels and their words: [Sentinel
//! Pub/Sub](https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#pubsub-messages).

use crate::config::HostPort;

/// Something that concerns the clients of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// The service has another master.
    Switched {
        /// The new one.
        master: HostPort,
    },
    /// A replica has taken over, by the sentinel that leads the failover. The service has another master once
    /// that sentinel names it, which is sooner than the news of it: those wait for the other replicas.
    Promoted {
        /// The replica.
        replica: HostPort,
    },
    /// A replica came, went down or came back.
    Replicas,
}

impl ServiceEvent {
    /// The channels to listen to.
    pub const CHANNELS: [&str; 5] = ["+switch-master", "+promoted-slave", "+slave", "+sdown", "-sdown"];

    /// What a message means for `service`; `None` if it is of no concern to it.
    ///
    /// ```
    /// use redwire_core::sentinel::ServiceEvent;
    ///
    /// let words = "mymaster 10.0.0.1 6379 10.0.0.2 6380";
    /// let event = ServiceEvent::parse("mymaster", "+switch-master", words);
    /// let Some(ServiceEvent::Switched { master }) = event else { panic!() };
    /// assert_eq!(master.to_string(), "10.0.0.2:6380");
    /// assert_eq!(ServiceEvent::parse("another", "+switch-master", words), None);
    /// let words = "slave 10.0.0.3:6379 10.0.0.3 6379 @ mymaster 10.0.0.1 6379";
    /// assert_eq!(ServiceEvent::parse("mymaster", "+slave", words), Some(ServiceEvent::Replicas));
    /// let event = ServiceEvent::parse("mymaster", "+promoted-slave", words);
    /// let Some(ServiceEvent::Promoted { replica }) = event else { panic!() };
    /// assert_eq!(replica.to_string(), "10.0.0.3:6379");
    /// ```
    #[must_use]
    pub fn parse(service: &str, channel: &str, message: &str) -> Option<Self> {
        let words: Vec<&str> = message.split(' ').collect();
        match (channel, words.as_slice()) {
            ("+switch-master", [name, _, _, host, port]) if *name == service => {
                Some(Self::Switched { master: HostPort::new(*host, port.parse().ok()?) })
            }
            ("+switch-master", _) => None,
            ("+promoted-slave", ["slave", _, host, port, "@", name, ..]) if *name == service => {
                Some(Self::Promoted { replica: HostPort::new(*host, port.parse().ok()?) })
            }
            ("+promoted-slave", _) => None,
            // A server of a kind, its name and address, and whose it is.
            (_, ["slave", _, _, _, "@", name, ..]) if *name == service => Some(Self::Replicas),
            _ => None,
        }
    }
}
