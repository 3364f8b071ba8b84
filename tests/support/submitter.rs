//! Somebody's AMQP client: submits films and hears the answers by direct reply-to. It uses lapin bare, and nothing of ours.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use shared::api::SubmitAnswer;
use shared::film::FilmRequest;
use shared::ids::FilmId;
use tokio::time::timeout;

/// The exchange, and the routing key there.
const SUBMISSIONS: &str = "callsheet.submissions";
/// Longest wait for the next answer: a coordinator may be killed and start again meanwhile, on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A connected client.
#[derive(Debug)]
pub struct Submitter {
    _connection: Connection,
    channel: Channel,
    answers: Consumer,
}

impl Submitter {
    /// Connects, and begins to listen for answers.
    ///
    /// # Errors
    /// If the broker cannot be reached.
    pub async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let no_ack = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let answers = channel
            .basic_consume(
                "amq.rabbitmq.reply-to".into(),
                "".into(),
                no_ack,
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            _connection: connection,
            channel,
            answers,
        })
    }

    /// Submits bytes under a message id; resolves when the broker has them.
    ///
    /// # Errors
    /// If the broker does not take them.
    pub async fn submit_bytes(&self, body: &[u8], message_id: &str) -> Result<()> {
        let mut properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_correlation_id(format!("about {message_id}").into())
            .with_reply_to("amq.rabbitmq.reply-to".into());
        if !message_id.is_empty() {
            properties = properties.with_message_id(message_id.into());
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sent = self
            .channel
            .basic_publish(
                SUBMISSIONS.into(),
                SUBMISSIONS.into(),
                options,
                body,
                properties,
            )
            .await?;
        match sent.await? {
            Confirmation::Ack(None) => Ok(()),
            other => bail!("not taken: {other:?}"),
        }
    }

    /// Submits a film under a message id.
    ///
    /// # Errors
    /// If the broker does not take it.
    pub async fn submit(&self, request: &FilmRequest, message_id: &str) -> Result<()> {
        self.submit_bytes(&serde_json::to_vec(request)?, message_id)
            .await
    }

    /// The next answer: to which message id, and what.
    ///
    /// # Errors
    /// If none comes for long, the connection breaks or the answer cannot be read.
    pub async fn answer(&mut self) -> Result<(String, SubmitAnswer)> {
        let delivery = timeout(ANSWER_LIMIT, self.answers.next())
            .await
            .context("nobody answers")?
            .context("the connection has ended")??;
        let about = delivery
            .properties
            .correlation_id()
            .as_ref()
            .context("an answer without correlation id")?;
        let id = about
            .as_str()
            .strip_prefix("about ")
            .context("an answer to nothing we asked")?
            .to_owned();
        Ok((id, serde_json::from_slice(&delivery.data)?))
    }

    /// Submits all films, many under way at once, and hears which film each became.
    ///
    /// # Errors
    /// If one is not taken or not accepted.
    pub async fn submit_all(
        &mut self,
        requests: &[FilmRequest],
        label: &str,
    ) -> Result<HashMap<String, FilmId>> {
        let sent = requests.iter().enumerate().map(|(index, request)| {
            let id = format!("{label}-{index}");
            let me = &*self;
            async move { me.submit(request, &id).await }
        });
        for result in futures::future::join_all(sent).await {
            result?;
        }
        let mut films = HashMap::new();
        while films.len() < requests.len() {
            match self.answer().await? {
                // Whoever was killed while it answered has its successor answer once more: that may be long ago.
                (id, _) if !id.starts_with(&format!("{label}-")) => {}
                (id, SubmitAnswer::Accepted { film }) => drop(films.insert(id, film)),
                (id, SubmitAnswer::Mistaken { mistakes }) => {
                    bail!("{id} was refused: {mistakes:?}")
                }
            }
        }
        Ok(films)
    }
}
