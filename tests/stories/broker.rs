//! Both brokers keep the promises of the port, and RabbitMQ's may be killed.

macro_rules! keeps_its_promises {
    ($subject:path: $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            support::broker_conformance::$promise(&$subject().await).await;
        }
    )*};
}

mod embedded {
    use support::broker_conformance::Subject;

    async fn subject() -> Subject {
        Subject::embedded()
    }

    support::every_promise!(keeps_its_promises, subject);
}

mod rabbitmq {
    use support::broker_conformance::Subject;
    use support::rabbitmq::RabbitMq;
    use tokio::sync::OnceCell;

    /// One server for all; it ends with this process.
    static SERVER: OnceCell<RabbitMq> = OnceCell::const_new();

    async fn server() -> &'static RabbitMq {
        SERVER.get_or_try_init(RabbitMq::start).await.unwrap()
    }

    pub(super) async fn url() -> String {
        server().await.url()
    }

    pub(super) async fn port() -> u16 {
        server().await.port()
    }

    async fn subject() -> Subject {
        Subject::amqp(&url().await).await
    }

    support::every_promise!(keeps_its_promises, subject);
}

mod outages;
mod poison;
