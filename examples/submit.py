"""Submits a film over AMQP and prints the answer: python3 submit.py amqp://USER:PASSWORD@HOST:5672/%2f "A premise" """
import json, sys, uuid
import pika  # apt install python3-pika, or pip install pika

channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.confirm_delivery()  # a submission that no queue takes is an error, not silence
film = {"premise": sys.argv[2] if len(sys.argv) > 2 else "A lighthouse keeper befriends a storm", "scenes": 3}

def answered(channel, method, properties, body):
    print(body.decode())  # {"film": "0199..."} or {"mistakes": [{"field": "scenes", "problem": "..."}]}
    channel.stop_consuming()

channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
channel.basic_publish("callsheet.submissions", "callsheet.submissions", json.dumps(film), mandatory=True, properties=pika.BasicProperties(
    message_id=str(uuid.uuid4()),  # the same id never makes a second film, however often it is sent
    reply_to="amq.rabbitmq.reply-to", correlation_id="1", content_type="application/json", delivery_mode=2))
channel.start_consuming()
