import java.util.ArrayList;
import java.util.Map;
import java.util.Set;
import java.util.HashSet;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.common.TopicPartition;

/**
 * Ends transactions that are open in a partition and that their coordinator knows nothing of any more, as an operator does with
 * {@code kafka-transactions.sh find-hanging} and {@code abort}. Prints a line for each. Arguments: bootstrap servers, and for how many
 * seconds nothing must have been written in such a transaction.
 */
public class EndHanging {
    public static void main(String[] arguments) throws Exception {
        long quiet = System.currentTimeMillis() - 1000 * Long.parseLong(arguments[1]);
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", arguments[0]))) {
            var partitions = new ArrayList<TopicPartition>();
            var topics = admin.describeTopics(admin.listTopics().names().get()).allTopicNames().get();
            topics.forEach((topic, description) ->
                description.partitions().forEach(info -> partitions.add(new TopicPartition(topic, info.partition()))));
            var found = admin.describeProducers(partitions).all().get();
            Set<Long> known = new HashSet<>();
            for (TransactionListing listing : admin.listTransactions().all().get()) {
                var state = listing.state();
                if (state == TransactionState.ONGOING || state == TransactionState.PREPARE_ABORT
                        || state == TransactionState.PREPARE_COMMIT || state == TransactionState.PREPARE_EPOCH_FENCE) {
                    known.add(listing.producerId());
                }
            }
            for (var partition : found.entrySet()) {
                for (ProducerState producer : partition.getValue().activeProducers()) {
                    boolean open = producer.currentTransactionStartOffset().isPresent();
                    if (!open || known.contains(producer.producerId()) || producer.lastTimestamp() > quiet) {
                        continue;
                    }
                    admin.abortTransaction(new AbortTransactionSpec(partition.getKey(), producer.producerId(),
                        (short) producer.producerEpoch(), producer.coordinatorEpoch().orElse(0))).all().get();
                    System.out.println(partition.getKey() + " from offset "
                        + producer.currentTransactionStartOffset().getAsLong() + ", producer " + producer.producerId());
                }
            }
        }
    }
}
